"""Which checkpoints are to be evaluated, as they appear: a finished run is told from one that is waited for."""

import logging
import math
import time
from collections.abc import Callable, Collection, Iterator

from dfjax import config as config_lib
from dfjax.checkpoint.workdir import Workdir
from dfjax.evals.errors import EvaluationError
from dfjax.runtime import heartbeats

_log = logging.getLogger(__name__)

ALL, LATEST = "all", "latest"


def steps(
    workdir: Workdir,
    wish: str,
    watch: bool,
    is_done: Callable[[int], bool],
    poll_seconds: float = 5.0,
    patience_seconds: float = math.inf,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """The steps of checkpoints to evaluate, the oldest first; with ``watch`` until the run's last one is there.

    Args:
      wish: "all", "latest" (with ``watch``, of those that have come meanwhile the newest only), or a step.
      is_done: whether a step needs no evaluation any more.
      patience_seconds: how long ``watch`` waits for a run in which nothing trains and nothing changes.

    Raises:
      EvaluationError: the wished step is not there, and ``watch`` does not say to wait for it, or waited in vain.
    """
    if wish not in (ALL, LATEST) and not (wish.isascii() and wish.isdigit()):
        raise EvaluationError(f"--step is all, latest or the number of a step, not {wish!r}")
    # By step and checkpoint: a run that goes back makes other ones of the same steps.
    seen: dict[int, int] = {}
    told, waited = None, 0.0
    while True:
        # Before the checkpoints are looked at: a run that has ended by then has made its last one.
        total, is_live = _total(workdir), _is_live(workdir)
        there = [step for step in workdir.steps() if not workdir.incomplete(step)]
        wanted = _wanted(there, wish)
        new = {step: made for step in wanted if seen.get(step) != (made := workdir.made(step))}
        for step, made in new.items():
            seen[step] = made
            if not is_done(step):
                yield step
                if watch:
                    # Others may have come or gone meanwhile.
                    break
        else:
            if not watch:
                _check(workdir, wish, there)
                return
            if _is_over(there, wish, total, seen):
                _check_passed(workdir, wish, there, seen)
                _log.info("%s is finished: all its checkpoints are evaluated", workdir.path)
                return
            state = (there[-1] if there else 0, is_live)
            if state != told:
                _tell(workdir, *state, total)
                told, waited = state, 0.0
            waited = 0.0 if is_live else waited + poll_seconds
            if waited > patience_seconds:
                raise EvaluationError(_in_vain(workdir, there, patience_seconds))
            sleep(poll_seconds)


def _wanted(there: list[int], wish: str) -> list[int]:
    if wish == ALL:
        return there
    return there[-1:] if wish == LATEST else [step for step in there if step == int(wish)]


def _is_over(there: list[int], wish: str, total: int | None, seen: Collection[int]) -> bool:
    """Whether no checkpoint that is wished for can come any more."""
    if wish.isdigit() and (int(wish) in seen or (there and there[-1] > int(wish)) or int(wish) > (total or math.inf)):
        return True
    return bool(there) and total is not None and there[-1] >= total


def _check_passed(workdir: Workdir, wish: str, there: list[int], seen: Collection[int]) -> None:
    """Raise EvaluationError for a step that was wished for and can come no more."""
    if wish.isdigit() and int(wish) not in seen:
        raise EvaluationError(
            f"{workdir.path} has no checkpoint of step {wish}, and none will come; it has "
            + (", ".join(map(str, there)) or "none yet")
        )


def _in_vain(workdir: Workdir, there: list[int], seconds: float) -> str:
    what = f"nothing trains in {workdir.path}" if workdir.path.exists() else f"there is no folder {workdir.path}"
    newest = f", whose newest checkpoint is of step {there[-1]}" if there else ""
    return (
        f"waited for {seconds:.0f} s: {what}{newest}. Start or resume the training, then this again; "
        "--patience_seconds waits longer"
    )


def _check(workdir: Workdir, wish: str, there: list[int]) -> None:
    if not there:
        workdir.require_checkpoint()
    passed = {step: missing for step in workdir.steps() if (missing := workdir.incomplete(step))}
    for step in passed:
        if wish == ALL or (wish == LATEST and there and step > there[-1]):
            _log.warning("step %d is passed over: it is being deleted, or damaged (dfjax checkpoint verify)", step)
    if wish.isdigit() and int(wish) in passed:
        raise EvaluationError(
            f"the checkpoint of step {wish} in {workdir.path} is being deleted, or damaged: "
            f"{', '.join(passed[int(wish)])} missing; whole are {', '.join(map(str, there)) or 'none'}"
        )
    if wish.isdigit() and int(wish) not in there:
        raise EvaluationError(
            f"{workdir.path} has no checkpoint of step {wish}; it has {', '.join(map(str, there))}; --watch waits for "
            "one"
        )


def _total(workdir: Workdir) -> int | None:
    """The steps of the whole run, as its newest start said; None where there is no config yet."""
    try:
        return config_lib.from_json(workdir.config.read_text(encoding="utf-8")).train.num_steps
    except (OSError, UnicodeDecodeError, config_lib.ConfigError):
        return None


def _is_live(workdir: Workdir) -> bool:
    """Whether something trains there, as far as signs of life tell: a lock, taken to ask, could be in its way."""
    return bool(heartbeats.at_work(workdir.heartbeats))


def _tell(workdir: Workdir, newest: int, is_live: bool, total: int | None) -> None:
    where = f"step {newest} of {total}" if total else "its start"
    who = "" if is_live else "; nothing trains there now: the training command goes on with it"
    _log.info("waiting for the next checkpoint of %s, which is at %s%s", workdir.path, where, who)

"""Search through Optuna: a trial is a line that is added to the sweep, and pruned on its validation loss.

Only this process opens the study (``SWEEP/study.db``): it reads what the runs write to their work directories, so that
they may be anywhere. Killed and started again, it takes up the trials that were going on.
"""

import dataclasses
import logging
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from dfjax import config as config_lib
from dfjax.core.errors import DfjaxError
from dfjax.launching import engine as engine_lib
from dfjax.launching.engine import Handover
from dfjax.launching.errors import JobError, LaunchError
from dfjax.report import best as best_lib
from dfjax.sweeps import lines as lines_lib
from dfjax.sweeps import pool, scores, state
from dfjax.sweeps.frozen import Sweep
from dfjax.sweeps.lines import Line
from dfjax.sweeps.state import State

METRIC = best_lib.FALLBACK
STUDY = "study.db"
_POLL_SECONDS = 1.0
_log = logging.getLogger(__name__)


class Hands(Protocol):
    """What starts and ends the runs of trials."""

    def start(self, line: Line) -> None:
        """Start the run of a line, or let it go on."""

    def tell(self, line: Line | None = None) -> None:
        """Have one run, or all that end with this process, save and end."""

    def ended(self) -> list[tuple[Line, int]]:
        """Runs that are known to have ended since the last call, and their exit statuses."""

    def __len__(self) -> int:
        """How many run that end with this process."""


class Submitted:
    """Runs that an engine was given, each as a job of its own. How they fare is read from their work directories."""

    def __init__(self, sweep: Sweep, job: Callable[[Line], tuple[Handover, Sequence[str]]]):
        """``job``: what the engine is given for a line, and the command that ends it."""
        self._sweep, self._job = sweep, job
        self._going: dict[int, Line] = {}

    def __len__(self) -> int:
        return 0

    def start(self, line: Line) -> None:
        state.forget(self._sweep.workdir(line))
        engine_lib.submit(self._job(line)[0])
        self._going[line.number] = line

    def tell(self, line: Line | None = None) -> None:
        if line is not None:
            command = self._job(line)[1]
            status = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
            if status:
                _log.warning("line %d could not be ended (status %d): %s", line.number, status, shlex.join(command))

    def ended(self) -> list[tuple[Line, int]]:
        found = []
        for line in list(self._going.values()):
            now = state.read(self._sweep.workdir(line), line.steps).state
            if now in (State.FINISHED, State.PRUNED, State.FAILED):
                del self._going[line.number]
                found.append((line, 1 if now is State.FAILED else 0))
        return found


@dataclasses.dataclass
class _Trial:
    """A trial that goes on. ``reported``: the last step whose loss the study knows."""

    trial: Any
    line: Line
    reported: int


def check(base: config_lib.Config) -> None:
    """Raise LaunchError without Optuna, and JobError for a config whose runs have no validation loss."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise LaunchError("a search needs Optuna: pip install 'dfjax[search]'") from error
    if not base.data.validation_split:
        raise JobError("a search goes by the validation loss: name a split with --config.data.validation_split=SPLIT")


class Search:
    """The trials of a recipe's ``search(trial)``, which returns the overrides of a run."""

    def __init__(self, sweep: Sweep, recipe: Path, hands: Hands, startup_trials: int):
        """Open the study of the sweep, or make it. ``startup_trials``: how many end before any is pruned."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.sweep, self._hands, self._optuna = sweep, hands, optuna
        self._path = str(recipe).partition(":")[0]
        module = lines_lib.load(recipe)
        if not hasattr(module, "search"):
            raise JobError(f"the recipe {recipe} has no function search(trial) that returns a dict of overrides")
        self._search = module.search
        # Once, by one process: two that made it at the same time would be in each other's way.
        self._study = optuna.create_study(
            storage=f"sqlite:///{sweep.folder / STUDY}",
            study_name="sweep",
            direction="minimize",
            sampler=optuna.samplers.TPESampler(n_startup_trials=startup_trials, constant_liar=True),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=startup_trials),
            load_if_exists=True,
        )
        self._going: dict[int, _Trial] = {}
        self._started: set[int] = set()
        self._lost: list[str] = []

    def run(self, trials: int, parallel: int) -> bool:
        """Have ``trials`` in the study, of which ``parallel`` go on at a time. Returns whether it was told to end.

        Raises:
          LaunchError: some runs ended without a result, as it says; the same again takes them up.
          JobError, ConfigError: what ``search(trial)`` returned is no line of a sweep.
        """
        waiting = list(self._study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.RUNNING,)))
        passed_on = 0
        with pool.Told() as told:
            while True:
                if told.count > passed_on:
                    passed_on = told.count
                    self._hands.tell()
                if told.count and not len(self._hands):
                    return True
                while not told.count and len(self._going) < parallel:
                    if waiting:
                        self._take_up(waiting.pop(0))
                    elif self._begun() < trials:
                        self._begin(self._study.ask(), 0)
                    else:
                        break
                if not self._going and not told.count:
                    break
                time.sleep(_POLL_SECONDS)
                self._look(told.count > 0)
        if self._lost:
            raise LaunchError("ended without a result: " + "; ".join(self._lost) + ". The same command takes them up")
        return False

    def _begun(self) -> int:
        """How many trials there are, but for those that the study's owner has put in line."""
        known = self._study.get_trials(deepcopy=False)
        return sum(trial.state != self._optuna.trial.TrialState.WAITING for trial in known)

    def _take_up(self, known: Any) -> None:
        """Go on with a trial that was going on when the search was ended; what it suggested stays."""
        reported = max(known.intermediate_values, default=0)
        self._begin(self._optuna.trial.Trial(self._study, known._trial_id), reported)

    def _begin(self, trial: Any, reported: int) -> None:
        try:
            line = self._line(trial)
        except self._optuna.TrialPruned:
            self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
            return
        except DfjaxError:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            raise
        self._going[trial.number] = _Trial(trial, line, reported)
        self._start(line, state.read(self.sweep.workdir(line), line.steps).state)

    def _start(self, line: Line, now: State) -> None:
        """Start a line that is open, unless this search has done so already."""
        if now in state.OPEN and line.number not in self._started:
            self._started.add(line.number)
            self._hands.start(line)

    def _line(self, trial: Any) -> Line:
        """The line of a trial: one that is there already if it asks for the same run."""

        def overrides() -> Any:
            try:
                return self._search(trial), False
            except self._optuna.TrialPruned:
                return None, True

        wish, is_pruned = lines_lib.call(overrides, "the recipe's search()", self._path)
        if is_pruned:
            raise self._optuna.TrialPruned
        number = len(self.sweep.lines) + 1
        checked, config = lines_lib.check(number, wish, self.sweep.header.base)
        for line in self.sweep.lines:
            if line.overrides == checked:
                return line
        name = f"{number:03d},{lines_lib.name_all([checked])[0]}"
        line = Line(number, name, checked, config.train.num_steps)
        # Written before it starts, as all lines are.
        self.sweep = self.sweep.add(line)
        return line

    def _look(self, is_told: bool) -> None:
        """Report what the runs have written, prune, and tell the study of those that have ended."""
        ended = {line.number: status for line, status in self._hands.ended()}
        for number, going in list(self._going.items()):
            workdir = self.sweep.workdir(going.line)
            for point in scores.points(workdir, METRIC):
                if point.step > going.reported:
                    going.trial.report(point.value, point.step)
                    going.reported = point.step
            now = state.read(workdir, going.line.steps)
            if (
                now.state is State.RUNNING
                and not state.is_pruned(workdir)
                and not is_told
                and going.trial.should_prune()
            ):
                _log.info("line %d is pruned at step %d", going.line.number, going.reported)
                state.prune(
                    workdir, f"validation loss at step {going.reported} is worse than the median of other trials"
                )
                self._hands.tell(going.line)
            if not is_told:
                # One that an earlier search left at work has ended without a result.
                self._start(going.line, now.state)
            if going.line.number in ended or now.state in (State.FINISHED, State.PRUNED):
                self._end(number, going, now, ended.get(going.line.number, 0))

    def _end(self, number: int, going: _Trial, now: state.Progress, status: int) -> None:
        states = self._optuna.trial.TrialState
        best = scores.best(self.sweep.workdir(going.line), METRIC, best_lib.LOWER)
        del self._going[number]
        if all(other.line.number != going.line.number for other in self._going.values()):
            # Another trial that asks for the same run starts it again, unless it is finished.
            self._started.discard(going.line.number)
        said = f"line {going.line.number} ({going.line.name})"
        if now.state is State.FINISHED and best is not None:
            self._study.tell(going.trial, best.value)
            _log.info("%s finished: %s %.5g", said, METRIC, best.value)
        elif now.state is State.PRUNED:
            self._study.tell(going.trial, state=states.PRUNED)
        elif now.state is State.FAILED or now.state is State.FINISHED:
            self._study.tell(going.trial, state=states.FAIL)
            _log.error("%s failed: %s", said, now.words or f"it has no finite {METRIC}")
        else:
            # Killed, or told to end by somebody else: it is not given up.
            self._lost.append(f"{said} was {pool.words(status)}")

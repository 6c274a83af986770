"""All evaluators on one checkpoint: what is missing is drawn, measured and written; what was said is left alone."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import jax

from dfjax import config as config_lib
from dfjax.core.registry import EVALUATORS
from dfjax.evals import drawing, sheets
from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.record import Key, Record
from dfjax.evals.subject import Ceiling, Drawn, Subject
from dfjax.runtime import heartbeats, hosts
from dfjax.sample import generate
from dfjax.training.report import Writer

_log = logging.getLogger(__name__)

# The split that is written for real held-out pictures.
CEILING = "real"

# Of the default ones, those that cannot do without held-out pictures.
_HELDOUT = ("validation", "heldout")

Line = dict[str, Any]


class Suite:
    """The evaluators that a config names, for the checkpoints of one run. Every process calls every method."""

    def __init__(self, bench: Bench, model: Model, writer: Writer):
        """Make what all checkpoints share: real pictures' features, the probe, the sampler.

        Args:
          model: the network that all checkpoints are of. writer: of TensorBoard's scalars and pictures.

        Raises:
          DfjaxError: what an evaluator needs is missing; said before anything is drawn.
        """
        self.bench, self._writer = bench, writer
        self.record = Record(bench.folder / "metrics.jsonl")
        self._wanted = _wanted(bench)
        self._measures = {name: EVALUATORS[name].make(bench, model) for name in self._wanted}
        self._sampler = generate.Sampler(
            model.network,
            bench.mesh,
            settings=bench.config.sample,
            batch_size=bench.config.eval.batch_size,
            guide=model.guide,
        )
        self._sheets = sheets.Sheets(bench, model)

    def is_done(self, step: int, attempt: int) -> bool:
        """Whether all has been said of ``step`` with these settings."""
        return not self._missing(step, self.bench.split, self._wanted, attempt)

    def ceiling(self) -> list[Line]:
        """Measure the real held-out pictures, once for each run. Returns the new lines."""
        if self.bench.heldout is None:
            return []
        names = [name for name in self._wanted if EVALUATORS[name].has_ceiling(self.bench)]
        if not (missing := self._missing(0, CEILING, names)):
            return []
        return self._run(Ceiling(self.bench), CEILING, missing)

    def measure(self, params: Any, step: int, attempt: int) -> list[Line]:
        """Measure the denoiser's ``params`` of ``step`` and ``attempt``. Returns the new lines."""
        bench = self.bench
        if not (missing := self._missing(step, bench.split, self._wanted, attempt)):
            return []
        self._writer.write_images(step, self._sheets.draw(params, step))
        folder = bench.folder / "drawn" / f"step_{step}_{attempt}_{bench.settings}"
        return self._run(Drawn(bench, self._sampler, params, step, folder), bench.split, missing, attempt)

    def _missing(self, step: int, split: str, names: Sequence[str], attempt: int = 0) -> list[str]:
        """Evaluators that are still to be run. The first process reads the record for all, which go the same way."""
        left = [name for name in names if not self.record.has(self._key(step, name, split, attempt))]
        return json.loads(hosts.from_first(json.dumps(left).encode()))

    def _key(self, step: int, name: str, split: str, attempt: int) -> Key:
        return Key(step, name, split, self.bench.settings, self._measures[name].uses, attempt)

    def _run(self, subject: Subject, split: str, names: Sequence[str], attempt: int = 0) -> list[Line]:
        lines: list[Line] = []
        for name in names:
            heartbeats.note(f"evaluating: {name}", subject.step, slow=True)
            figures = list(self._measures[name](subject))
            # Before they count as said: a curve would never have what a kill left out, and the same point twice is one.
            self._writer.write_scalars(subject.step, {f"eval/{split}/{each.name}": each.value for each in figures})
            self._writer.flush()
            if name == names[-1] and isinstance(subject, Drawn):
                # Also before: nobody would come back to take them away.
                drawing.forget(subject.folder)
            if jax.process_index() == 0:
                lines += self.record.add(self._key(subject.step, name, split, attempt), figures)
            for figure in figures:
                _log.info("step %d  %s (%s)  %s", subject.step, figure.name, split, words(figure.value, figure.stderr))
        return lines


def _wanted(bench: Bench) -> tuple[str, ...]:
    """The evaluators of the config; of the default ones only those that the data allow.

    Raises:
      EvaluationError: it names none.
    """
    wanted = bench.config.eval.evaluators
    if not wanted:
        raise EvaluationError(f"eval.evaluators names none: choose some of {', '.join(EVALUATORS)}")
    if bench.heldout is None and wanted == config_lib.Eval().evaluators:
        left_out = " and ".join(_HELDOUT)
        _log.warning("%s are left out: nothing is held out from training (data.validation_split)", left_out)
        return tuple(name for name in wanted if name not in _HELDOUT)
    return wanted


def words(value: float, stderr: float | None) -> str:
    """Such as ``0.0123 ± 0.0011``."""
    return f"{value:.4g}" if stderr is None else f"{value:.4g} ± {stderr:.2g}"

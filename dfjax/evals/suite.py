"""All evaluators on one checkpoint: what is missing is drawn, measured and written; what was said is left alone."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import jax
from clu import metric_writers

from dfjax.evals import drawing, sheets
from dfjax.evals.bench import Bench, Model
from dfjax.evals.errors import EvaluationError
from dfjax.evals.evaluators import EVALUATORS
from dfjax.evals.record import Record
from dfjax.evals.subject import Ceiling, Drawn, Subject
from dfjax.parallel import heartbeats, hosts
from dfjax.sample import generate

_log = logging.getLogger(__name__)

# The split that is written for real held-out pictures.
CEILING = "real"

Line = dict[str, Any]


class Suite:
    """The evaluators that a config names, for the checkpoints of one run. Every process calls every method."""

    def __init__(self, bench: Bench, model: Model, writer: metric_writers.MetricWriter):
        """Make what all checkpoints share: real pictures' features, the probe, the sampler.

        Args:
          model: the network that all checkpoints are of. writer: of TensorBoard's scalars and pictures.

        Raises:
          DfjaxError: what an evaluator needs is missing; said before anything is drawn.
        """
        self.bench, self._writer = bench, writer
        self.record = Record(bench.folder / "metrics.jsonl")
        self._wanted = bench.config.eval.evaluators
        if not self._wanted:
            raise EvaluationError(f"eval.evaluators names none: choose some of {', '.join(EVALUATORS)}")
        self._measures = {name: EVALUATORS[name].make(bench, model) for name in self._wanted}
        self._sampler = generate.Sampler(
            model.denoiser,
            bench.config,
            model.tokenizer,
            bench.mesh,
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
        lines = self._run(Drawn(bench, self._sampler, params, step, folder), bench.split, missing, attempt)
        drawing.forget(folder)
        self._writer.write_scalars(step, {f"eval/{line['name']}": float(line["value"]) for line in lines})
        self._writer.flush()
        return lines

    def _missing(self, step: int, split: str, names: Sequence[str], attempt: int = 0) -> list[str]:
        """Evaluators that are still to be run. The first process reads the record for all, which go the same way."""
        settings = self.bench.settings
        left = [name for name in names if not self.record.has(step, name, split, settings, attempt)]
        return json.loads(hosts.from_first(json.dumps(left).encode()))

    def _run(self, subject: Subject, split: str, names: Sequence[str], attempt: int = 0) -> list[Line]:
        lines: list[Line] = []
        for name in names:
            heartbeats.note(f"evaluating: {name}", subject.step, slow=True)
            figures = list(self._measures[name](subject))
            if jax.process_index() == 0:
                lines += self.record.add(subject.step, name, split, self.bench.settings, attempt, figures)
            for figure in figures:
                _log.info("step %d  %s (%s)  %s", subject.step, figure.name, split, words(figure.value, figure.stderr))
        return lines


def words(value: float, stderr: float | None) -> str:
    """Such as ``0.0123 ± 0.0011``."""
    return f"{value:.4g}" if stderr is None else f"{value:.4g} ± {stderr:.2g}"

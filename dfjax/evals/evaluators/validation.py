"""The validation loss by fixed noise levels, overall and per level, with its error over records."""

from collections.abc import Iterator

from dfjax.core import fingerprint
from dfjax.data import pipeline
from dfjax.evals.bench import Bench, Model
from dfjax.evals.figures import Figure, Measure
from dfjax.evals.subject import Drawn
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import validation


def has_ceiling(bench: Bench) -> bool:
    """Never: it is of weights, not of pictures."""
    return False


def make(bench: Bench, model: Model) -> Measure:
    """A function from a checkpoint to validation_loss, the mean over the levels, and validation_loss_t=... for each.

    Raises:
      EvaluationError: there is no validation split.
    """
    source, limit = bench.require_heldout().source, bench.config.train.validation_examples
    shards, count = mesh_lib.batch_shards(bench.mesh), min(limit, len(source))
    batches = pipeline.fixed_batches(
        source,
        model.network.inputs,
        bench.config.data,
        batch_size=-(-min(count, bench.config.eval.batch_size) // shards) * shards,
        limit=limit,
        sharding=mesh_lib.batch_sharding(bench.mesh),
    )
    arrays = [batch.arrays for batch in batches]
    losses = validation.make(model.network, bench.mesh)

    def measure(subject: Drawn) -> Iterator[Figure]:
        for name, loss in losses(subject.params, arrays).items():
            yield Figure(name.replace("/", "_"), loss.mean, loss.stderr, count)

    return Measure(measure, fingerprint.short(bench.require_heldout().digest, count))

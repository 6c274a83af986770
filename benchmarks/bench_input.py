"""Whether the input keeps up: host images a second, the step with real and with synthetic input, and a huge index.

    python benchmarks/bench_input.py [--config=configs/emoji.py] [--parts=host,step,index]

host: pictures a second of one core through the whole pipeline, and of Pillow's bare decoding and resizing of the same
bytes, in turn, by processor time, so that neighbours do not count; and their share of the latter. Of a small data set
later epochs decode nothing.
step: wall time of a training step on batches of the pipeline and on one batch that stays on the device, in turn, from
compiled steps of one process. Workers fill their buffers while the other kind runs, so the first steps of each block
are not counted. On a CPU both share the cores: reading costs the step what it takes of them.
index: the memory of a shuffled order of ten million records, and the time to its first and to a far position.
"""

import io
import statistics
import time
import tracemalloc

import jax
import numpy as np
from absl import app, flags
from ml_collections import config_flags
from PIL import Image

from dfjax import config as config_lib
from dfjax.data import pipeline, sources
from dfjax.inputs import codec, conditioning
from dfjax.inputs import tokenizer as tokenizer_lib
from dfjax.inputs.spec import Inputs
from dfjax.models import denoiser as denoiser_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.training import optim, step
from dfjax.training import state as state_lib

_CONFIG = config_flags.DEFINE_config_file("config", "configs/emoji.py")
_PARTS = flags.DEFINE_list("parts", ["host", "step", "index"], "what to measure")
_ROUNDS = flags.DEFINE_integer("rounds", 10, "pairs of timings")
_STEPS = flags.DEFINE_integer("steps", 30, "steps of a timing")
_UNCOUNTED = 10
_PICTURES = 2000
_RECORDS = 10_000_000


def _inputs(config: config_lib.Config, source, tokenizer) -> Inputs:
    return Inputs(codec.identity(config), conditioning.Tokens(tokenizer), source.columns)


def host(config: config_lib.Config, source, tokenizer) -> None:
    """Pictures a second of one core, of the pipeline and of the bare decoder."""
    seed, side = config.train.seed, config.data.resolution
    count = min(_PICTURES, len(source))
    indices = [pipeline.position_to_index(len(source), seed, position) for position in range(count)]
    files = [source[index].image for index in indices]

    inputs = _inputs(config, source, tokenizer)

    def whole(examples, epoch: int) -> None:
        for position in range(count):
            examples[epoch * len(source) + position]

    def bare() -> None:
        for file in files:
            image = Image.open(io.BytesIO(file)).convert("RGB")
            np.asarray(image.resize((side, side), Image.Resampling.HAMMING))

    def rate(function, *arguments) -> float:
        began = time.process_time()
        function(*arguments)
        return count / (time.process_time() - began)

    rates = []
    for _ in range(_ROUNDS.value):
        examples = pipeline.training_examples(source, inputs, config.data, seed)
        rates.append((rate(whole, examples, 0), rate(whole, examples, 1), rate(bare)))
    for column, name in enumerate(("first epoch", "later epochs", "bare decoder")):
        share = statistics.median(row[column] / row[2] for row in rates)
        print(f"{name:15s} {statistics.median(row[column] for row in rates):8.0f} images/s per core, {share:.2f}")


def training(config: config_lib.Config, source, tokenizer) -> None:
    """Wall time of a step on real and on synthetic input."""
    mesh = mesh_lib.make(config.mesh)
    denoiser = denoiser_lib.make(config, tokenizer.vocab_size)
    optimizer = optim.make(config, denoiser.described)
    state = state_lib.create(denoiser, optimizer, mesh, config.train.seed)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
    train_step = step.make(denoiser, config, optimizer, tokenizer.null(), mesh, shardings)
    batches = pipeline.training_batches(
        source,
        _inputs(config, source, tokenizer),
        config.data,
        seed=config.train.seed,
        batch_size=config.train.batch_size,
        sharding=mesh_lib.batch_sharding(mesh),
    )

    def seconds(following) -> float:
        nonlocal state
        for number in range(_UNCOUNTED + _STEPS.value):
            if number == _UNCOUNTED:
                jax.block_until_ready(state)
                began = time.perf_counter()
            state, _ = train_step(state, following())
        jax.block_until_ready(state)
        return (time.perf_counter() - began) / _STEPS.value

    with batches:
        kept = next(batches).arrays
        seconds(lambda: kept)
        pairs = []
        for number in range(_ROUNDS.value):
            kinds = [lambda: next(batches).arrays, lambda: kept]
            # Now one first, now the other.
            times = [seconds(kind) for kind in (kinds if number % 2 else kinds[::-1])]
            pairs.append(times if number % 2 else times[::-1])
    ratios = [real / synthetic for real, synthetic in pairs]
    print(f"real input      {statistics.median(a for a, _ in pairs) * 1e3:8.2f} ms a step")
    print(f"synthetic input {statistics.median(b for _, b in pairs) * 1e3:8.2f} ms a step")
    print(f"ratio           {statistics.median(ratios):8.3f}  (from {min(ratios):.3f} to {max(ratios):.3f})")


class Numbers:
    """A source of nothing but a length."""

    def __len__(self) -> int:
        return _RECORDS


def index(config: config_lib.Config, tokenizer) -> None:
    """What it costs to shuffle ten million records."""
    tracemalloc.start()
    began = time.perf_counter()
    inputs = Inputs(codec.identity(config), conditioning.Tokens(tokenizer))
    pipeline.training_examples(Numbers(), inputs, config.data, config.train.seed)
    pipeline.position_to_index(_RECORDS, config.train.seed, 0)
    first = time.perf_counter() - began
    began = time.perf_counter()
    pipeline.position_to_index(_RECORDS, config.train.seed, 10**9)
    far = time.perf_counter() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{_RECORDS:,} records: {peak / 1e3:.1f} kB at most, first position {first * 1e3:.2f} ms")
    print(f"position 1e9 after {far * 1e3:.2f} ms")


def main(_: list[str]) -> None:
    config = config_lib.resolve(_CONFIG.value.to_dict())
    source = sources.open_source(config.data, config.data.split)
    captions = pipeline.example_captions(source, 100_000)
    tokenizer = tokenizer_lib.learn(captions, config.text.vocab_size, config.text.max_tokens)
    if "host" in _PARTS.value:
        host(config, source, tokenizer)
    if "step" in _PARTS.value:
        training(config, source, tokenizer)
    if "index" in _PARTS.value:
        index(config, tokenizer)


if __name__ == "__main__":
    app.run(main)

"""The sections ``optim``, ``train``, ``mesh`` and ``hosts``: how it is trained, on what."""

import dataclasses

from dfjax.config.keys import key
from dfjax.core import registry


@dataclasses.dataclass(frozen=True)
class Optim:
    name: str = key("adamw", "optimizer", choices=registry.OPTIMIZERS)
    learning_rate: float = key(1e-3, "peak learning rate", low=0)
    warmup_steps: int = key(100, "steps of linear warm-up", low=0)
    decay: str = key("linear", "shape of the learning rate's decay to 0", choices=("none", "linear", "cosine"))
    decay_fraction: float = key(0.4, "last share of train.num_steps over which it decays", low=0, high=1)
    weight_decay: float = key(0.0, "decoupled weight decay on matrices", low=0)
    beta2: float = key(0.99, "decay rate of the second moment, of Lion's one moment (beta1 is 0.9)", low=0, high=1)
    clip_norm: float = key(1.0, "global norm at which gradients are clipped; 0: never", low=0)
    ema_decay: float = key(0.999, "decay of the averaged weights per step, after a warm-up", low=0, high=1)
    ema_stds: tuple[float, ...] = key(
        (),
        "also keep power-function averages of these lengths (standard deviation over the run's length, as 0.05, 0.1), "
        "for `dfjax average`",
        low=0.01,
        high=0.25,
        item=float,
    )


@dataclasses.dataclass(frozen=True)
class Train:
    objective: str = key("diffusion", "what is minimised", choices=registry.OBJECTIVES)
    batch_size: int = key(256, "examples per optimizer step, over all devices and accumulation steps", low=1)
    accumulation: int = key(1, "micro-batches per optimizer step", low=1, resume=True)
    num_steps: int = key(100_000, "optimizer steps of the whole run", low=1)
    seed: int = key(0, "seed of initialization, data order, timesteps, noise and dropout", low=0, high=2**31 - 1)
    log_every_steps: int = key(100, "steps between log lines and scalars", low=1, resume=True)
    tensorboard: bool = key(
        True,
        "write TensorBoard's files beside metrics.jsonl; False: TensorFlow is not loaded, which takes seconds a start",
        resume=True,
    )
    validate_every_steps: int = key(1000, "steps between validation losses; 0: only at the end", low=0, resume=True)
    validation_examples: int = key(256, "most records in a validation loss", low=1)
    sample_every_steps: int = key(5000, "steps between sample grids; 0: only at the end", low=0, resume=True)
    checkpoint_every_steps: int = key(
        1000, "steps between checkpoints; the last step is always saved", low=1, resume=True
    )
    snapshot_every_steps: int = key(
        0, "steps between snapshots of the averages of optim.ema_stds; 0: only at the end", low=0, resume=True
    )
    save_tries: int = key(
        8,
        "saves that the storage may fail in a row, 1 s, 2 s, 4 s ... apart while training goes on, before the run ends",
        low=1,
        resume=True,
    )
    max_skipped_steps: int = key(
        10,
        "steps in a row that are skipped, since loss or gradients are not finite, before the run ends",
        low=1,
        resume=True,
    )
    spike_factor: float = key(
        0.0,
        "a loss of so many times the median of those before it makes the run go back to its last checkpoint and pass "
        "over the records in between; 0: never",
        low=0,
    )
    spike_window: int = key(100, "losses in that median; there is no spike before there are so many", low=2)
    spike_rollbacks: int = key(5, "how often a run may go back before it ends", low=0, resume=True)
    keep_last: int = key(2, "newest checkpoints to keep", low=1, resume=True)
    keep_every_steps: int = key(0, "also keep each checkpoint at a multiple of this; 0: none", low=0, resume=True)


@dataclasses.dataclass(frozen=True)
class Mesh:
    replica: int = key(
        1,
        "groups of devices, one or more a slice, that share gradients over the data-centre network",
        low=-1,
        resume=True,
    )
    data: int = key(
        -1, "devices over which the batch is split, parameters copied; -1: what is left", low=-1, resume=True
    )
    fsdp: int = key(1, "devices over which batch and parameters are split; -1: what is left", low=-1, resume=True)
    tensor: int = key(
        1, "devices over which heads and hidden channels are split; -1: what is left", low=-1, resume=True
    )
    context: int = key(1, "devices over which tokens are split; -1: what is left", low=-1, resume=True)


@dataclasses.dataclass(frozen=True)
class Hosts:
    start_seconds: int = key(300, "longest wait for all processes of a run to start", low=5, resume=True)
    lost_seconds: int = key(
        60, "silence after which a process is taken for lost, and the others end", low=4, resume=True
    )
    step_seconds: int = key(
        1800, "longest that a step, its data included, may take before the run ends", low=5, resume=True
    )
    phase_seconds: int = key(
        3600, "the same for a compilation, a restore, a save, an evaluation, the end", low=5, resume=True
    )
    preemption_seconds: int = key(
        120, "longest from SIGTERM or SIGINT to the end, the saving included", low=1, resume=True
    )
    slow_step: float = key(
        10.0, "a step that takes so many times the median is reported and counted; 0: none", low=0, resume=True
    )
    leave_when_slow: bool = key(
        False, "such a step makes the run save and end with status 42, to be started elsewhere", resume=True
    )

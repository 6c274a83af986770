"""The config schema: every key with its type, default, unit and meaning.

A recipe (``configs/*.py``) starts from :func:`default` and sets only what differs. :func:`resolve` turns the
recipe's ``ConfigDict`` into the typed, frozen :class:`Config` that the rest of dfjax reads, and refuses what cannot
work, naming the key. A config is data: it goes to JSON and back, and never runs code.
"""

import dataclasses
import difflib
import json
import math
import re
import reprlib
from collections.abc import Mapping
from typing import Any

import ml_collections

from dfjax.core.errors import ConfigError

# Steps and counts without a bound of their own are 32-bit numbers in the compiled step.
_LARGEST = 2**31 - 1
# Of a longer name the start is enough to find the nearest one, in time.
_LONGEST_NAME = 100


def _key(
    default: Any,
    doc: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    resume: bool = False,
    item: type | None = None,
):
    """A schema field. ``low`` and ``high`` are inclusive; ``resume`` marks keys that may change between resumes.

    ``item`` is the type of a tuple's items, where its default is empty.
    """
    metadata = {"doc": doc, "choices": choices, "low": low, "high": high, "resume": resume, "item": item}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Data:
    name: str = _key(
        "emoji_captions",
        "TFDS data set, `name` or `name/config`, with an image and a text or label feature; synthetic: random numbers",
    )
    dir: str = _key("", "folder of prepared TFDS data; empty: $TFDS_DATA_DIR, else ~/tensorflow_datasets", resume=True)
    split: str = _key("train", "split to train on")
    validation_split: str = _key("heldout", "split for the validation loss; empty: no validation")
    category: str = _key("", "keep only records whose `category` feature has this value; empty: all")
    image_key: str = _key("", "image feature; empty: the only one")
    text_key: str = _key("", "text or class-label feature; empty: the only one")
    resolution: int = _key(32, "side of the square training pictures, pixels", low=8, high=4096)
    latent_channels: int = _key(
        0, "channels of an encoder's latents, which then stand for the pictures; 0: pixels", low=0, high=256
    )
    latent_reduction: int = _key(8, "side of the picture over the side of its latents", low=1, high=64)
    flip: bool = _key(False, "mirror half of the pictures left to right")
    vary_captions: bool = _key(
        False, "say the same caption in several ways (with and without its style, 'a picture of ...')"
    )
    recolour: float = _key(
        0.0, "share of recolourable pictures shown in another hue, with caption to match", low=0, high=1
    )
    max_pixels: int = _key(
        2**26,
        "a picture whose header announces more pixels is not decoded, but replaced by another record's",
        low=1,
        high=89_478_485,  # Pillow warns of more.
    )
    max_bad_share: float = _key(
        0.1, "the run ends once more than this share of the records it visited are bad", low=0, high=1, resume=True
    )
    workers: int = _key(
        2, "decoding processes per host; 0 decodes in the training process", low=0, high=256, resume=True
    )


@dataclasses.dataclass(frozen=True)
class Text:
    vocab_size: int = _key(1024, "most pieces the tokenizer may learn, 256 bytes included", low=300, high=256_000)
    max_tokens: int = _key(16, "tokens per caption; longer ones are cut, with a warning", low=2, high=4096)
    depth: int = _key(1, "transformer layers of the text tower", low=0, high=64)
    features: int = _key(
        0, "channels of a frozen encoder's features, which then stand for the captions; 0: own tower", low=0, high=65536
    )


@dataclasses.dataclass(frozen=True)
class Model:
    name: str = _key(
        "transformer",
        "network: one stream of text and image tokens, or MMDiT's two, over frozen text features",
        choices=("transformer", "mmdit"),
    )
    width: int = _key(384, "channels of the residual stream", low=8, high=65536)
    depth: int = _key(8, "transformer layers over text and image tokens", low=1, high=256)
    heads: int = _key(6, "attention heads; width / heads must be a multiple of 4", low=1, high=512)
    patch: int = _key(4, "side of a patch, pixels", low=1, high=64)
    overlap: bool = _key(True, "patches overlap by half a patch on each side, so that no seams show")
    mlp_ratio: float = _key(2.75, "hidden channels of the gated MLP over width", low=0.1, high=16)
    remat: str = _key(
        "none",
        "what the backward pass computes again: nothing, attention scores, all but matrix products, or whole layers",
        choices=("none", "attention", "dots", "full"),
        resume=True,
    )
    attention: str = _key(
        "auto",
        "kernel of attention: plain XLA, cuDNN's flash on NVIDIA GPUs, splash on TPUs; auto: the platform's own",
        choices=("auto", "xla", "cudnn", "splash"),
        resume=True,
    )
    dtype: str = _key("float32", "compute type; parameters stay float32", choices=("float32", "bfloat16"))
    unroll: int = _key(
        1, "layers unrolled per scan iteration: more is faster and compiles longer", low=1, high=256, resume=True
    )


@dataclasses.dataclass(frozen=True)
class Diffusion:
    schedule: str = _key(
        "flow",
        "noise schedule alpha(t), sigma(t)",
        choices=("flow", "cosine", "linear", "scaled_linear", "edm"),
    )
    shift: float = _key(1.0, "resolution shift: divides the signal-to-noise ratio by its square", low=0.01, high=100)
    zero_terminal: bool = _key(False, "rescale linear or scaled_linear so that t = 1 is pure noise")
    discrete_steps: int = _key(
        0, "train and sample at this many noise levels only, as DDPM (1000) does; 0: continuous", low=0, high=100_000
    )
    prediction: str = _key("x0", "what the network's output means", choices=("x0", "eps", "v", "flow", "edm"))
    loss: str = _key(
        "flow",
        "squared error in terms of the prediction itself (constant) or of another, or with a published weight",
        choices=(
            "constant",
            "x0",
            "eps",
            "v",
            "flow",
            "edm",
            "snr",
            "min_snr",
            "truncated_snr",
            "sigmoid",
            "p2",
        ),
    )
    min_sigma: float = _key(0.05, "floor of what the loss divides by", low=1e-6, high=0.5)
    min_snr_gamma: float = _key(5.0, "gamma of the min_snr loss", low=1e-3, high=1e6)
    sigmoid_bias: float = _key(0.0, "bias b of the sigmoid loss, in log-SNR", low=-20, high=20)
    p2_gamma: float = _key(1.0, "gamma of the p2 loss (k is 1)", low=0, high=10)
    data_std: float = _key(
        0.5, "standard deviation of the pictures' values, for the edm prediction and loss", low=0.01, high=10
    )
    learned_variance: bool = _key(False, "learn the loss's log-variance over t and even out its noise levels (EDM2)")
    timesteps: str = _key(
        "logit_normal",
        "density of t in training",
        choices=("uniform", "logit_normal", "log_normal", "mode", "cosine_mapped"),
    )
    timestep_mean: float = _key(
        0.6, "mean of logit(t) for logit_normal, of log(sigma/alpha) for log_normal", low=-10, high=10
    )
    timestep_std: float = _key(1.0, "standard deviation of the same", low=0.01, high=10)
    timestep_mode: float = _key(
        1.29, "s of the mode density: more in the middle; below 0 at the ends", low=-1, high=1.75
    )
    caption_dropout: float = _key(0.1, "share of captions replaced by the null caption (for guidance)", low=0, high=1)


@dataclasses.dataclass(frozen=True)
class Optim:
    name: str = _key("adamw", "optimizer", choices=("adamw", "adafactor", "lion", "muon"))
    learning_rate: float = _key(1e-3, "peak learning rate", low=0)
    warmup_steps: int = _key(100, "steps of linear warm-up", low=0)
    decay: str = _key("linear", "shape of the learning rate's decay to 0", choices=("none", "linear", "cosine"))
    decay_fraction: float = _key(0.4, "last share of train.num_steps over which it decays", low=0, high=1)
    weight_decay: float = _key(0.0, "decoupled weight decay on matrices", low=0)
    beta2: float = _key(0.99, "decay rate of the second moment, of Lion's one moment (beta1 is 0.9)", low=0, high=1)
    clip_norm: float = _key(1.0, "global norm at which gradients are clipped; 0: never", low=0)
    ema_decay: float = _key(0.999, "decay of the averaged weights per step, after a warm-up", low=0, high=1)
    ema_stds: tuple[float, ...] = _key(
        (),
        "also keep power-function averages of these lengths (standard deviation over the run's length, as 0.05, 0.1), "
        "for `dfjax average`",
        low=0.01,
        high=0.25,
        item=float,
    )


@dataclasses.dataclass(frozen=True)
class Train:
    batch_size: int = _key(256, "examples per optimizer step, over all devices and accumulation steps", low=1)
    accumulation: int = _key(1, "micro-batches per optimizer step", low=1, resume=True)
    num_steps: int = _key(100_000, "optimizer steps of the whole run", low=1)
    seed: int = _key(0, "seed of initialization, data order, timesteps, noise and dropout", low=0, high=2**31 - 1)
    log_every_steps: int = _key(100, "steps between log lines and scalars", low=1, resume=True)
    tensorboard: bool = _key(
        True,
        "write TensorBoard's files beside metrics.jsonl; False: TensorFlow is not loaded, which takes seconds a start",
        resume=True,
    )
    validate_every_steps: int = _key(1000, "steps between validation losses; 0: only at the end", low=0, resume=True)
    validation_examples: int = _key(256, "most records in a validation loss", low=1)
    sample_every_steps: int = _key(5000, "steps between sample grids; 0: only at the end", low=0, resume=True)
    checkpoint_every_steps: int = _key(
        1000, "steps between checkpoints; the last step is always saved", low=1, resume=True
    )
    snapshot_every_steps: int = _key(
        0, "steps between snapshots of the averages of optim.ema_stds; 0: only at the end", low=0, resume=True
    )
    save_tries: int = _key(
        8,
        "saves that the storage may fail in a row, 1 s, 2 s, 4 s ... apart while training goes on, before the run ends",
        low=1,
        resume=True,
    )
    max_skipped_steps: int = _key(
        10,
        "steps in a row that are skipped, since loss or gradients are not finite, before the run ends",
        low=1,
        resume=True,
    )
    spike_factor: float = _key(
        0.0,
        "a loss of so many times the median of those before it makes the run go back to its last checkpoint and pass "
        "over the records in between; 0: never",
        low=0,
    )
    spike_window: int = _key(100, "losses in that median; there is no spike before there are so many", low=2)
    spike_rollbacks: int = _key(5, "how often a run may go back before it ends", low=0, resume=True)
    keep_last: int = _key(2, "newest checkpoints to keep", low=1, resume=True)
    keep_every_steps: int = _key(0, "also keep each checkpoint at a multiple of this; 0: none", low=0, resume=True)


@dataclasses.dataclass(frozen=True)
class Mesh:
    replica: int = _key(
        1,
        "groups of devices, one or more a slice, that share gradients over the data-centre network",
        low=-1,
        resume=True,
    )
    data: int = _key(
        -1, "devices over which the batch is split, parameters copied; -1: what is left", low=-1, resume=True
    )
    fsdp: int = _key(1, "devices over which batch and parameters are split; -1: what is left", low=-1, resume=True)
    tensor: int = _key(
        1, "devices over which heads and hidden channels are split; -1: what is left", low=-1, resume=True
    )
    context: int = _key(1, "devices over which tokens are split; -1: what is left", low=-1, resume=True)


@dataclasses.dataclass(frozen=True)
class Sample:
    sampler: str = _key(
        "flow_heun",
        "solver",
        choices=(
            "ddpm",
            "ddim",
            "euler",
            "euler_ancestral",
            "heun",
            "flow_euler",
            "flow_heun",
            "dpmpp_2s",
            "dpmpp_2m",
            "dpmpp_3m",
            "dpmpp_2m_sde",
            "unip_2",
            "unip_3",
            "unipc_1",
            "unipc_2",
            "unipc_3",
            "deis_2",
            "deis_3",
            "lms_2",
            "lms_3",
            "lms_4",
            "angle_3",
        ),
        resume=True,
    )
    steps: int = _key(20, "solver steps", low=1, high=10_000, resume=True)
    grid: str = _key(
        "trailing",
        "where the steps lie between pure noise and picture",
        choices=("uniform", "trailing", "log_snr", "karras", "angle"),
        resume=True,
    )
    grid_min: float = _key(
        0.02, "least sigma/alpha at which uniform, log_snr and karras call the network", low=1e-4, high=1, resume=True
    )
    grid_max: float = _key(
        80.0, "sigma/alpha that log_snr and karras take pure noise for, or the schedule's own", low=1, resume=True
    )
    grid_rho: float = _key(7.0, "rho of karras: larger steps less near the picture", low=1, high=100, resume=True)
    eta: float = _key(
        -1.0,
        "noise of ddim, euler_ancestral and dpmpp_2m_sde, from 0 (none) to 1 (all); -1: the sampler's own (0, 1 and 1)",
        low=-1,
        high=1,
        resume=True,
    )
    churn: float = _key(0.0, "S_churn of heun: noise added anew over the whole run", low=0, high=1000, resume=True)
    guidance: float = _key(3.0, "guidance scale; 1: none", low=0, high=100, resume=True)
    guidance_method: str = _key(
        "classifier_free", "how guidance adds the difference", choices=("classifier_free", "apg"), resume=True
    )
    guidance_interval: tuple[float, ...] = _key((0.1, 0.9), "t from which and up to which guidance acts", resume=True)
    guidance_rescale: float = _key(
        0.0, "share by which a guided picture gets the contrast of the unguided one", low=0, high=1, resume=True
    )
    negative_prompt: str = _key("", "what guidance leads away from; empty: the null caption", resume=True)
    guide: str = _key("", "work directory of a weaker model to guide with (autoguidance); empty: none", resume=True)
    prompts: tuple[str, ...] = _key(
        ("a red apple", "a green banana"), "prompts of the sample grids in TensorBoard", resume=True
    )


@dataclasses.dataclass(frozen=True)
class Eval:
    evaluators: tuple[str, ...] = _key(
        ("validation", "distances", "alignment", "memory", "heldout"),
        "what `dfjax evaluate` measures",
        choices=("validation", "distances", "alignment", "memory", "heldout", "clip", "lpips"),
        resume=True,
    )
    every_steps: int = _key(0, "steps between evaluations inside training, on its mesh; 0: none", low=0, resume=True)
    num_images: int = _key(512, "pictures drawn for a checkpoint, and for its held-out captions", low=2, resume=True)
    num_real: int = _key(10_000, "most real pictures that they are compared with", low=2, resume=True)
    features: str = _key(
        "efficientnet_lite0",
        "network whose features distances are taken on",
        choices=("efficientnet_lite0", "inception_v3", "dinov2"),
        resume=True,
    )
    weights: str = _key("", "file with its weights; empty: those of its installed package", resume=True)
    clip: str = _key("", "folder with CLIP's weights and tokenizer, for the evaluator clip", resume=True)
    lpips: str = _key("", "files with AlexNet's and LPIPS's weights, for the evaluator lpips", resume=True)
    batch_size: int = _key(64, "pictures drawn, or put through the features, at once", low=1, resume=True)
    seed: int = _key(0, "seed of the noise that pictures are drawn from", low=0, high=2**31 - 1, resume=True)


@dataclasses.dataclass(frozen=True)
class Hosts:
    start_seconds: int = _key(300, "longest wait for all processes of a run to start", low=5, resume=True)
    lost_seconds: int = _key(
        60, "silence after which a process is taken for lost, and the others end", low=4, resume=True
    )
    step_seconds: int = _key(
        1800, "longest that a step, its data included, may take before the run ends", low=5, resume=True
    )
    phase_seconds: int = _key(
        3600, "the same for a compilation, a restore, a save, an evaluation, the end", low=5, resume=True
    )
    preemption_seconds: int = _key(
        120, "longest from SIGTERM or SIGINT to the end, the saving included", low=1, resume=True
    )
    slow_step: float = _key(
        10.0, "a step that takes so many times the median is reported and counted; 0: none", low=0, resume=True
    )
    leave_when_slow: bool = _key(
        False, "such a step makes the run save and end with status 42, to be started elsewhere", resume=True
    )


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole config; see the sections for the keys."""

    data: Data = Data()
    text: Text = Text()
    model: Model = Model()
    diffusion: Diffusion = Diffusion()
    optim: Optim = Optim()
    train: Train = Train()
    mesh: Mesh = Mesh()
    sample: Sample = Sample()
    eval: Eval = Eval()
    hosts: Hosts = Hosts()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2) + "\n"


SECTIONS: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Config)}


def _fields() -> dict[str, dataclasses.Field]:
    """Every field by its full key, such as ``optim.learning_rate``."""
    return {
        f"{section.name}.{field.name}": field
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(SECTIONS[section.name])
    }


FIELDS = _fields()


def default() -> ml_collections.ConfigDict:
    """All keys at their defaults, as the ``ConfigDict`` a recipe starts from. Unknown keys raise on assignment."""
    return ml_collections.ConfigDict(Config().to_dict()).lock()


def resolve(values: Mapping[str, Any]) -> Config:
    """The typed, checked config of a recipe's nested mapping. Missing keys take their defaults.

    Raises:
      ConfigError: an unknown key or section, a wrong type, a value out of range, or keys that contradict each other.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"a config has sections of keys; this one is a {type(values).__name__}")
    flat: dict[str, Any] = {}
    for section, keys in values.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(f"config key {_shown(section)} is not a section; {nearest(section)}")
        flat.update({f"{section}.{name}": value for name, value in keys.items()})
    for key in flat:
        if key not in FIELDS:
            raise ConfigError(f"unknown config key {_shown(key)}; {nearest(key)}")
    checked = {key: _checked(key, flat.get(key, field.default)) for key, field in FIELDS.items()}
    config = Config(
        **{
            section.name: SECTIONS[section.name](
                **{k.split(".")[1]: v for k, v in checked.items() if k.split(".")[0] == section.name}
            )
            for section in dataclasses.fields(Config)
        }
    )
    _check_together(config)
    return config


def _shown(value: Any) -> str:
    """A value in a message: a config out of a file may hold anything, of any size and depth."""
    return reprlib.repr(value)


def nearest(key: str) -> str:
    """Words that name the known key nearest to ``key``."""
    key = str(key)[:_LONGEST_NAME]
    close = difflib.get_close_matches(key, FIELDS, n=1, cutoff=0.0)[0]
    tail = key.split(".")[-1]
    same_name = [known for known in FIELDS if known.split(".")[-1] == tail]
    return f"did you mean {(same_name or [close])[0]!r}? (`dfjax train --help` lists all keys)"


def _checked(key: str, value: Any) -> Any:
    """``value`` in the key's own type, or a ConfigError that says what is wrong with it."""
    field = FIELDS[key]
    initial: Any = field.default
    expected = type(initial)
    if expected is float and type(value) is int:
        value = _to_float(key, value)
    if expected is tuple and isinstance(value, list | tuple):
        item = field.metadata["item"] or type(initial[0])
        value = tuple(_to_float(key, v) if item is float and type(v) is int else v for v in value)
        if any(type(v) is not item for v in value):
            raise ConfigError(f"config key {key!r} takes a tuple of {item.__name__}, not {_shown(value)}")
    if type(value) is not expected:
        raise ConfigError(f"config key {key!r} takes {expected.__name__}, not {type(value).__name__} ({_shown(value)})")
    choices = field.metadata["choices"]
    for one in value if isinstance(value, tuple) else (value,):
        if choices and one not in choices:
            close = difflib.get_close_matches(one[:_LONGEST_NAME], choices, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"config key {key!r} takes {'some' if isinstance(value, tuple) else 'one'} of {', '.join(choices)}, "
                f"not {_shown(one)}; did you mean {close!r}?"
            )
        _check_one(key, one, field.metadata["low"], field.metadata["high"])
    return value


def _check_one(key: str, value: Any, low: float | None, high: float | None) -> None:
    """Refuse a number out of its bounds, and a text that no file or name could hold."""
    if isinstance(value, str) and re.search(r"[\0\ud800-\udfff]", value):
        raise ConfigError(f"config key {key!r} takes a text without NUL and surrogates, not {_shown(value)}")
    if isinstance(value, float) and abs(value) == float("inf"):
        raise ConfigError(f"config key {key!r} must be finite")
    if type(value) is int and value > _LARGEST:
        raise ConfigError(f"config key {key!r} must be below 2**31, not {_shown(value)}")
    # Written so that NaN, which compares false with everything, is refused too.
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"at least {low}" + (f" and at most {high}" if high is not None else "")
        raise ConfigError(f"config key {key!r} must be {bounds}, not {_shown(value)}")


def _to_float(key: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ConfigError(f"config key {key!r} must be finite, not {_shown(value)}") from None


def _check_together(config: Config) -> None:
    """Refuse keys that are right one by one and wrong together."""
    model, data, train = config.model, config.data, config.train
    if 0 < train.spike_factor <= 1:
        raise ConfigError(
            f"config key 'train.spike_factor': {train.spike_factor} would take every loss for a spike; try 3, or 0 for "
            "never"
        )
    if model.width % (4 * model.heads):
        raise ConfigError(
            f"config key 'model.heads': width {model.width} over {model.heads} heads must be a multiple of 4; "
            f"try --config.model.heads={_nearest_divisor(model.width // 4, model.heads)}"
        )
    if data.resolution % model.patch:
        raise ConfigError(
            f"config key 'data.resolution': {data.resolution} is no multiple of model.patch {model.patch}; "
            f"try --config.data.resolution={round(data.resolution / model.patch) * model.patch or model.patch}"
        )
    if model.overlap and model.patch % 2:
        raise ConfigError(
            f"config key 'model.overlap': an overlap of half a patch needs an even model.patch, not {model.patch}"
        )
    if train.batch_size % train.accumulation:
        raise ConfigError(
            f"config key 'train.accumulation': {train.accumulation} does not divide train.batch_size "
            f"{train.batch_size}; "
            f"try --config.train.accumulation={_nearest_divisor(train.batch_size, train.accumulation)}"
        )
    _check_inputs(config)
    interval = config.sample.guidance_interval
    if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
        raise ConfigError(
            f"config key 'sample.guidance_interval' takes (from, to) with 0 <= from <= to <= 1, not {interval}"
        )
    if not config.sample.prompts:
        raise ConfigError("config key 'sample.prompts' must name at least one prompt")
    if config.sample.guide and config.sample.negative_prompt:
        raise ConfigError(
            "config key 'sample.negative_prompt': it and sample.guide both say what guidance leads away from; "
            "leave one of them out"
        )
    if -1 < config.sample.eta < 0:
        raise ConfigError(f"config key 'sample.eta' must be from 0 to 1, or -1, not {config.sample.eta}")
    if len(set(config.optim.ema_stds)) != len(config.optim.ema_stds):
        raise ConfigError(f"config key 'optim.ema_stds' names a length twice: {config.optim.ema_stds}")


def _check_inputs(config: Config) -> None:
    """Refuse a network whose inputs no data set gives."""
    data, features = config.data, config.text.features
    if config.model.name == "mmdit" and not features:
        raise ConfigError(
            "config key 'text.features': the network 'mmdit' takes a frozen encoder's features; try "
            "--config.text.features=4096"
        )
    if data.latent_channels and data.resolution % (data.latent_reduction * config.model.patch):
        unit = data.latent_reduction * config.model.patch
        raise ConfigError(
            f"config key 'data.resolution': {data.resolution} is no multiple of data.latent_reduction x model.patch "
            f"= {unit}; try --config.data.resolution={round(data.resolution / unit) * unit or unit}"
        )
    if data.name == "synthetic":
        if data.validation_split:
            raise ConfigError(
                "config key 'data.validation_split': synthetic data has no splits; try --config.data.validation_split="
            )
    elif features or data.latent_channels:
        raise ConfigError(
            f"config key 'data.name': {data.name!r} gives pictures and captions, not latents or features, which are "
            "not read from disk yet; try --config.data.name=synthetic --config.data.validation_split="
        )


def _nearest_divisor(number: int, wish: int) -> int:
    small = [d for d in range(1, math.isqrt(number) + 1) if number % d == 0]
    return min((*small, *(number // d for d in small)), key=lambda d: (abs(d - wish), d))


def from_json(text: str) -> Config:
    """The config that :meth:`Config.to_json` wrote. Raises ConfigError if it is not one."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the saved config is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError("the saved config is not a JSON object")
    return resolve(values)


def changes_that_break_resume(saved: Config, wanted: Config) -> list[str]:
    """Lines ``key: saved -> wanted`` for keys that a resumed run may not change, since they change what is trained."""
    old, new = saved.to_dict(), wanted.to_dict()
    lines = []
    for key, field in FIELDS.items():
        section, name = key.split(".")
        if not field.metadata["resume"] and old[section][name] != new[section][name]:
            lines.append(f"{key}: {old[section][name]!r} -> {new[section][name]!r}")
    return lines


def describe() -> str:
    """A table of every key: type, default, meaning and, where there are any, choices."""
    lines = []
    for key, field in FIELDS.items():
        choices = f" ({' | '.join(field.metadata['choices'])})" if field.metadata["choices"] else ""
        lines.append(f"  --config.{key} : {type(field.default).__name__} = {field.default!r}")
        low, high = field.metadata["low"], field.metadata["high"]
        bounds = "" if low is None else f" (at least {low})" if high is None else f" ({low} to {high})"
        lines.append(f"      {field.metadata['doc']}{choices}{bounds}")
    return "\n".join(lines)

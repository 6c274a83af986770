"""Keys that are right one by one and wrong together."""

import math

from dfjax.config.schema import Config
from dfjax.core.errors import ConfigError


def check(config: Config) -> None:
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
    if config.model.name == "mmdit" and not features and config.text.conditioner == "auto":
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

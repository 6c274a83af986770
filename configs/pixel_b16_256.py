"""Pixels at 256: a transformer of DiT-B/16's size on 16-pixel patches: 131M parameters, and 13M that read the caption.

    dfjax plan --config=configs/pixel_b16_256.py --topology=v5e:4x4
    dfjax train --config=configs/pixel_b16_256.py --workdir=runs/b16

Hardware: 8 GPUs or a slice of 16 TPU chips. Of v5e:4x4 the plan says: 8.31 of 15.75 GiB a chip, 1% of the work done
twice, at least 0.07 s a step, MFU at most 99%. With `model.remat=attention` a chip would need 19.6 GiB. It trains on
random numbers until `data.name` names a data set of yours. No result was measured yet.
"""

from dfjax import config as config_lib


def get_config():
    config = config_lib.default()
    config.data.name = "synthetic"
    config.data.validation_split = ""
    config.data.resolution = 256
    config.text.vocab_size = 8192
    config.text.max_tokens = 128
    config.model.width = 768
    config.model.depth = 12
    config.model.heads = 12
    config.model.patch = 16
    config.model.overlap = False
    config.model.mlp_ratio = 8 / 3
    config.model.dtype = "bfloat16"
    config.model.remat = "dots"
    config.diffusion.timestep_mean = 0.0
    config.optim.learning_rate = 3e-4
    config.optim.warmup_steps = 1000
    config.optim.ema_decay = 0.9999
    config.train.batch_size = 1024
    config.train.num_steps = 400_000
    config.mesh.data = 1
    config.mesh.fsdp = -1
    return config

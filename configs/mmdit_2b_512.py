"""Latents of 512-pixel pictures: an MMDiT of SD3's medium size, 2.1B parameters, over 256 tokens of a frozen encoder.

    dfjax plan --config=configs/mmdit_2b_512.py --topology=v5e:16x16
    dfjax train --config=configs/mmdit_2b_512.py --workdir=runs/mmdit_2b

Hardware: a v5e slice of 256 chips, of which the plan says: 11.8 of 15.75 GiB a chip, 2% of the work done twice, at
least 0.25 s a step, MFU at most 98%. With `model.remat=full` it is 3.0 GiB, 26%, 0.33 s and 74%. It trains on random
numbers: latents and features are not read from disk yet. No result was measured yet.
"""

from dfjax import config as config_lib


def get_config():
    config = config_lib.default()
    config.data.name = "synthetic"
    config.data.validation_split = ""
    config.data.resolution = 512
    config.data.latent_channels = 16
    config.text.features = 4096
    config.text.max_tokens = 256
    config.model.name = "mmdit"
    config.model.width = 1536
    config.model.depth = 24
    config.model.heads = 24
    config.model.patch = 2
    config.model.overlap = False
    config.model.mlp_ratio = 8 / 3
    config.model.dtype = "bfloat16"
    config.model.remat = "dots"
    config.diffusion.prediction = "flow"
    config.diffusion.loss = "constant"
    config.diffusion.shift = 3.0
    config.diffusion.timestep_mean = 0.0
    config.optim.learning_rate = 1e-4
    config.optim.warmup_steps = 1000
    config.optim.decay = "none"
    config.optim.ema_decay = 0.9999
    config.train.batch_size = 2048
    config.train.num_steps = 500_000
    config.mesh.data = 1
    config.mesh.fsdp = -1
    return config

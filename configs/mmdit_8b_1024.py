"""Latents of 1024-pixel pictures: an MMDiT of SD3's large size, 8.2B parameters, over 256 tokens of a frozen encoder.

    dfjax plan --config=configs/mmdit_8b_1024.py --topology=v5p:8x8x4
    dfjax train --config=configs/mmdit_8b_1024.py --workdir=runs/mmdit_8b

Hardware: a v5p slice of 256 chips, or with --config.mesh.context=2 --config.mesh.data=1 a v6e slice. The plan says:
11.7 of 95.7 GiB a chip, at least 1.1 s a step, MFU at most 73%; and 11.5 of 31.3 GiB, 0.55 s, 73%; 27% of the work is
done twice in both. v5p has room for `model.remat=dots`: 48.4 GiB, 0.83 s, 96%. It trains on random numbers: latents and
features are not read from disk yet. No result was measured yet.
"""

from dfjax import config as config_lib


def get_config():
    config = config_lib.default()
    config.data.name = "synthetic"
    config.data.validation_split = ""
    config.data.resolution = 1024
    config.data.latent_channels = 16
    config.text.features = 4096
    config.text.max_tokens = 256
    config.model.name = "mmdit"
    config.model.width = 2432
    config.model.depth = 38
    config.model.heads = 38
    config.model.patch = 2
    config.model.overlap = False
    config.model.mlp_ratio = 6528 / 2432
    config.model.dtype = "bfloat16"
    config.model.remat = "full"
    config.diffusion.prediction = "flow"
    config.diffusion.loss = "constant"
    config.diffusion.shift = 3.0
    config.diffusion.timestep_mean = 0.0
    config.optim.learning_rate = 1e-4
    config.optim.warmup_steps = 1000
    config.optim.decay = "none"
    config.optim.ema_decay = 0.9999
    config.train.batch_size = 1024
    config.train.num_steps = 500_000
    config.mesh.fsdp = 128
    return config

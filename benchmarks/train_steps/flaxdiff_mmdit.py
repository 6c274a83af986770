"""FlaxDiff's SimpleMMDiT in the training step of FlaxDiff's own trainer, AdamW and average of the weights included.

Runs in FlaxDiff's environment. Its network pools the text, so that the other networks' text tokens become image tokens
here: as many as make a square with them.
"""

import math
import tempfile
from importlib import metadata

import child
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flaxdiff import inputs, predictors, schedulers, trainer
from flaxdiff.models import simple_mmdit
from flaxdiff.utils import RandomMarkovState


class Features(inputs.TextEncoder):
    """A text encoder that has run before: what it is given are features already."""

    def __init__(self, text_tokens: int) -> None:
        super().__init__(model=None, tokenizer=None)
        self.shape = (text_tokens, child.FEATURES)

    def __call__(self, data):
        return jnp.zeros((1, *self.shape))

    def encode_from_tokens(self, tokens):
        return tokens

    def serialize(self):
        return {}

    @staticmethod
    def deserialize(serialized_config):
        raise NotImplementedError("features are not saved")


def make(sizes: child.Sizes) -> child.Work:
    """The sizes with tokens to the nearest square."""
    across = round(math.sqrt(sizes.tokens + sizes.text_tokens))
    side = across * child.PATCH
    network = simple_mmdit.SimpleMMDiT(
        output_channels=child.LATENT,
        patch_size=child.PATCH,
        emb_features=sizes.width,
        num_layers=sizes.depth,
        num_heads=sizes.heads,
        mlp_ratio=4,
        dtype=jnp.float32,
    )
    condition = inputs.ConditionalInputConfig(
        encoder=Features(sizes.text_tokens),
        conditioning_data_key="text",
        pretokenized=True,
        model_key_override="textcontext",
    )
    with tempfile.TemporaryDirectory() as folder:
        own = trainer.GeneralDiffusionTrainer(
            network,
            optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-4, weight_decay=0.0)),
            noise_schedule=schedulers.CosineNoiseScheduler(1000),
            input_config=inputs.DiffusionInputConfig("image", (side, side, child.LATENT), [condition]),
            rngs=jax.random.key(0),
            model_output_transform=predictors.VPredictionTransform(),
            checkpoint_base_path=folder,
            distributed_training=False,
        )
    train_step = own._define_train_step(sizes.batch)
    rng = np.random.default_rng(0)
    image = rng.standard_normal((sizes.batch, side, side, child.LATENT), np.float32)
    text = rng.standard_normal((sizes.batch, sizes.text_tokens, child.FEATURES), np.float32)
    state, random = own.state, RandomMarkovState(jax.random.key(1))
    layers = {
        jax.tree_util.keystr(path): leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)
        if "kernel" in jax.tree_util.keystr(path)
    }
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))

    def run(steps: int) -> None:
        nonlocal state, random
        for _ in range(steps):
            # The batch is donated.
            batch = {"image": jnp.asarray(image), "text": jnp.asarray(text)}
            state, _, random = train_step(state, random, batch, jnp.zeros((1,), jnp.int32))
        jax.block_until_ready(state)

    rows = [
        ("ada_", 1, 6),
        ("time_embed", 1, 6),
        ("text_context_proj", sizes.text_tokens, 4),
        ("patch_embed", across**2, 4),
        ("", across**2, 6),
    ]
    flops = sizes.batch * (child.matrices(layers, rows) + child.attention(sizes, across**2))
    return child.Work(run, flops, count, f"flaxdiff {metadata.version('flaxdiff')}, jax {jax.__version__}")


if __name__ == "__main__":
    child.serve(make)

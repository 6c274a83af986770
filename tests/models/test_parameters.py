"""What parameters say beside themselves: all of every network do, and it is what path rules once said."""

import re

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from dfjax.core import trees
from dfjax.models import parameters
from dfjax.models.parameters import Description
from tests import small
from tests.models.networks import NETWORKS


@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_of_every_network_is_described_axis_by_axis(network):
    made = small.denoiser(NETWORKS[network] | {"diffusion.learned_variance": True})
    leaves = trees.named_leaves(made.abstract_params())
    assert parameters.undescribed(leaves, made.described) == []
    assert made.described.keys() == leaves.keys()
    for name, leaf in leaves.items():
        assert len(made.described[name].axes) == leaf.ndim, name
        assert made.described[name].is_stacked == ("blocks/" in name), name


@pytest.mark.parametrize("network", NETWORKS)
def test_kernels_and_embeddings_decay_and_muon_has_the_kernels_of_layers(network):
    described = small.denoiser(NETWORKS[network] | {"diffusion.learned_variance": True}).described
    assert {n for n, known in described.items() if known.decays} == {
        name for name in described if name.endswith(("/kernel", "/embedding"))
    }
    assert {n for n, known in described.items() if known.muon} == {
        name for name in described if re.search(r"(^|/)blocks/.*/kernel$", name)
    }


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (
            "ids",
            {
                "text": r"text/blocks/(attention/(query|key|value|out)|mlp/(gate|up|down))/kernel",
                "all": r"blocks/(attention/(query|key|value|out)|mlp/(gate|up|down))/kernel",
                "image": r"patch_(in|out)/kernel",
                "one": r"(blocks/modulation|time_in|time_out|pooled|final|log_variance/out)/kernel",
            },
        ),
        (
            "mmdit",
            {
                "text": r"(text_in|blocks/text/(attention/(query|key|value|out)|mlp/(gate|up|down)))/kernel",
                "image": r"(patch_(in|out)|blocks/image/(attention/(query|key|value|out)|mlp/(gate|up|down)))/kernel",
                "one": r"(blocks/(text|image)/modulation|time_in|time_out|pooled|final|log_variance/out)/kernel",
            },
        ),
    ],
)
def test_each_kernel_meets_the_tokens_of_its_place(network, expected):
    described = small.denoiser(NETWORKS[network] | {"diffusion.learned_variance": True}).described
    for name, known in described.items():
        found = [tokens for tokens, pattern in expected.items() if re.fullmatch(pattern, name)]
        assert found == ([known.tokens] if known.tokens else []), name
    inputs = {"text_in/kernel", "patch_in/kernel", "time_in/kernel", "log_variance/out/kernel"}
    assert {name for name, known in described.items() if known.of_data} == inputs & described.keys()


@pytest.mark.parametrize("wrong", [{"axes": ("embd",)}, {"axes": (), "tokens": "every"}])
def test_a_word_that_nobody_knows_is_refused(wrong):
    with pytest.raises(ValueError, match="axes are embed, heads, hidden, layers or None, tokens one, text, image, all"):
        Description(**wrong)


def test_the_layer_of_another_library_is_described_afterwards():
    module = nnx.eval_shape(lambda: _Convolution(nnx.Rngs(0)))
    state = nnx.state(module, nnx.Param)
    assert parameters.described(state) == {"layer/kernel": Description((None, None, "embed"), "image", decays=True)}
    assert parameters.undescribed(nnx.to_pure_dict(state), parameters.described(state)) == ["layer/bias"]


class _Convolution(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.layer = nnx.Conv(3, 8, 3, rngs=rngs)
        parameters.describe(self.layer.kernel, None, None, "embed", tokens="image", decays=True)


def test_descriptions_are_no_part_of_the_parameters():
    network = small.denoiser()
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(network.abstract_params()))
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(network.abstract_params())
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}

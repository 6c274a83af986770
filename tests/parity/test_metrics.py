"""KID and the Fréchet distance against torchmetrics' functions, in float64 on the same features."""

import numpy as np
import pytest

from dfjax.evals.metrics import kid
from dfjax.evals.metrics.frechet import Moments, frechet_distance
from tests.parity import torchvision_operator

torch = pytest.importorskip("torch")
torchvision_operator.make_importable()
pytest.importorskip("torchmetrics")


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(48, 48))
    return rng.normal(size=(150, 48)) @ mix, rng.normal(size=(130, 48)) @ (mix + 0.1) + 0.2


def test_kid_over_given_subsets(features):
    from torchmetrics.image.kid import poly_mmd

    real, drawn = features
    rng = np.random.default_rng(1)
    subsets = [(rng.choice(150, 60, replace=False), rng.choice(130, 60, replace=False)) for _ in range(5)]
    wanted = [
        float(poly_mmd(torch.tensor(real[first]), torch.tensor(drawn[second]), degree=3, gamma=None, coef=1.0))
        for first, second in subsets
    ]
    assert kid.kid_over_subsets(real, drawn, subsets) == pytest.approx(np.mean(wanted), rel=1e-6)


def test_frechet_distance(features):
    from torchmetrics.image.fid import _compute_fid

    moments = [Moments.of(each) for each in features]
    said = [torch.tensor(value) for each in moments for value in (each.mean, each.cov)]
    assert frechet_distance(*moments) == pytest.approx(float(_compute_fid(*said)), rel=1e-6)

"""Distances of features against torchmetrics' and prdc's own functions, on the same float64 features."""

import numpy as np
import pytest

from dfjax.evals.metrics.frechet import Moments, frechet_distance
from dfjax.evals.metrics.kid import kid, kid_over_subsets
from dfjax.evals.metrics.manifold import manifold
from tests.parity import torchvision_operator

torch = pytest.importorskip("torch", reason="parity tests need PyTorch: pip install 'dfjax[parity]'")


def _need(module):
    """It imports torchvision, which is not used here."""
    torchvision_operator.make_importable()
    return pytest.importorskip(module, reason=f"parity tests need {module}: pip install 'dfjax[parity]'")


def _features(n=300, m=260, d=64):
    """As of a network: not negative, some always 0, with common directions; drawn ones a bit off."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(d, d)) * np.linspace(0.1, 1, d)[:, None] / 4
    mix[:, :3] = 0
    real, drawn = (np.maximum(rng.normal(size=(count, d)) @ mix + shift, 0) for count, shift in ((n, 0.2), (m, 0.3)))
    real[:, :3] = drawn[:, :3] = 0
    return real, drawn


def test_kid_of_subsets_is_torchmetrics():
    theirs = _need("torchmetrics.image.kid")
    real, drawn = _features()
    rng = np.random.default_rng(1)
    subsets = [(rng.choice(300, 90, replace=False), rng.choice(260, 90, replace=False)) for _ in range(7)]
    each = [float(theirs.poly_mmd(torch.tensor(real[i]), torch.tensor(drawn[j]))) for i, j in subsets]
    assert kid_over_subsets(real, drawn, subsets) == pytest.approx(np.mean(each), rel=1e-9)


def test_kid_of_all_pictures_is_torchmetrics_of_one_subset_with_them_all():
    theirs = _need("torchmetrics.image.kid")
    real, drawn = _features(n=260)
    expected = float(theirs.poly_mmd(torch.tensor(real), torch.tensor(drawn)))
    assert kid(real, drawn).value == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_is_torchmetrics():
    theirs = _need("torchmetrics.image.fid")
    for columns in (slice(3, None), slice(None)):
        a, b = (Moments.of(features[:, columns]) for features in _features())
        expected = float(theirs._compute_fid(*map(torch.tensor, (a.mean, a.cov, b.mean, b.cov))))
        assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_and_coverage_are_prdcs(k):
    theirs = pytest.importorskip("prdc", reason="parity tests need prdc: pip install 'dfjax[parity]'")
    for real, drawn in (_features(), _features(150, 340, 16)):
        drawn = drawn * 1.2
        expected = theirs.compute_prdc(real_features=real, fake_features=drawn, nearest_k=k)
        found = manifold(real, drawn, k, splits=0)
        assert len(set(expected.values())) == 4
        for name, value in expected.items():
            assert getattr(found, name).value == pytest.approx(value, rel=1e-12)

"""The probe from pictures to captions: it is the ridge regression it says, and tells right captions from wrong ones."""

import numpy as np
import pytest

from dfjax.evals import alignment
from tests.pretrained import made_up

SIZE, WIDTH = 12, 5


def _related(n=60, noise=0.5, seed=0):
    """Features, and embeddings that depend on them linearly but for noise."""
    rng = np.random.default_rng(seed)
    features = 3 + rng.normal(size=(n, SIZE)) * np.arange(1, SIZE + 1)
    map_ = np.random.default_rng(99).normal(size=(SIZE, WIDTH)) / np.arange(1, SIZE + 1)[:, None]
    embeddings = 1 + features @ map_ + noise * rng.normal(size=(n, WIDTH))
    return features.astype(np.float32), embeddings.astype(np.float32)


def _solved(features, embeddings, scale, ridge, n):
    """Ridge regression by the normal equations: a function from features to embeddings."""
    mean, centre = features.mean(axis=0), embeddings.mean(axis=0)
    x = (features - mean) / scale
    matrix = np.linalg.solve(x.T @ x + n * ridge * np.eye(x.shape[1]), x.T @ (embeddings - centre))
    return lambda rows: centre + (rows - mean) / scale @ matrix


@pytest.mark.parametrize("n", [60, 8])  # More pictures than features, and fewer.
def test_the_probe_solves_the_normal_equations(n):
    features, embeddings = _related(n)
    probe, _ = alignment.fit(features, embeddings, ridges=[0.03])
    wide = features.astype(np.float64)
    expected = _solved(wide, embeddings.astype(np.float64), wide.std(axis=0), 0.03, n)
    others = _related(7, seed=1)[0]
    np.testing.assert_allclose(probe.predict(others), expected(others.astype(np.float64)), rtol=1e-9)


@pytest.mark.parametrize("n", [60, 8])
def test_predictions_left_out_are_those_of_regressions_that_leave_out(n):
    features, embeddings = (x.astype(np.float64) for x in _related(n))
    _, left_out = alignment.fit(features, embeddings, ridges=[0.03])
    for row in range(n):
        kept = np.arange(n) != row
        # The penalty is that of all pictures, so that only what is left out differs.
        expected = _solved(features[kept], embeddings[kept], features.std(axis=0), 0.03, n)
        np.testing.assert_allclose(left_out[row], expected(features[row]), rtol=1e-7)


def test_the_chosen_ridge_predicts_best_what_was_left_out():
    features, embeddings = _related(noise=3)
    probe, _ = alignment.fit(features, embeddings)
    wrong = {
        ridge: np.mean(np.square(alignment.fit(features, embeddings, [ridge])[1] - embeddings))
        for ridge in alignment.RIDGES
    }
    assert probe.ridge == min(wrong, key=lambda ridge: wrong[ridge])
    assert min(alignment.RIDGES) < probe.ridge < max(alignment.RIDGES)
    assert probe.explained == pytest.approx(1 - wrong[probe.ridge] / embeddings.var(axis=0).mean(), rel=1e-6)
    assert probe.ridge > alignment.fit(*_related(noise=0.1))[0].ridge


def test_a_probe_of_shuffled_captions_explains_nothing_and_says_so(caplog):
    features, embeddings = _related()
    honest, _ = alignment.fit(features, embeddings)
    assert honest.explained > 0.8
    assert not caplog.text
    shuffled, _ = alignment.fit(features, np.random.default_rng(0).permutation(embeddings))
    assert shuffled.explained <= 0
    assert "tell nothing about their captions" in caplog.text


def test_the_right_caption_of_a_new_picture_comes_first_and_a_wrong_one_anywhere():
    probe, _ = alignment.fit(*_related())
    features, candidates = _related(40, noise=0.1, seed=1)
    likenesses = probe.likenesses(probe.predict(features), candidates)
    assert likenesses.shape == (40, 40)
    assert np.abs(likenesses).max() <= 1 + 1e-9
    ranks = 1 + (likenesses > np.diag(likenesses)[:, None]).sum(axis=1)
    assert ranks.mean() < 2
    wrong = likenesses[:, np.random.default_rng(0).permutation(40)]
    assert abs((1 + (wrong > np.diag(wrong)[:, None]).sum(axis=1)).mean() - 20.5) < 6


def test_what_all_captions_have_in_common_does_not_count():
    features, embeddings = _related()
    candidates = embeddings[:10]
    probes = [alignment.fit(features, embeddings + shift)[0] for shift in (0, 100)]
    near, far = (
        probe.likenesses(probe.predict(features), candidates + shift)
        for probe, shift in zip(probes, (0, 100), strict=True)
    )
    np.testing.assert_allclose(near, far, atol=1e-4)


def test_a_feature_that_hardly_varies_cannot_decide_alone():
    features, embeddings = _related()
    features[:, 0] = 1
    features[0, 0] += 1e-4
    probe, _ = alignment.fit(features, embeddings)
    drawn = features.copy()
    drawn[:, 0] = 1.5
    assert np.abs(probe.predict(drawn) - probe.predict(features)).max() < 1


def test_constant_features_and_one_caption_for_all_are_no_error():
    probe, left_out = alignment.fit(np.ones((4, SIZE), np.float32), np.ones((4, WIDTH), np.float32))
    assert np.isfinite(left_out).all()
    np.testing.assert_array_equal(probe.predict(np.zeros((2, SIZE))), np.ones((2, WIDTH)))
    np.testing.assert_array_equal(probe.likenesses(np.ones((2, WIDTH)), np.ones((3, WIDTH))), np.zeros((2, 3)))


@pytest.mark.parametrize(("pictures", "captions"), [(2, 2), (5, 4)])
def test_too_few_pictures_or_captions_are_refused(pictures, captions):
    with pytest.raises(ValueError, match=f"not {pictures} and {captions}"):
        alignment.fit(np.ones((pictures, SIZE)), np.ones((captions, WIDTH)))


@pytest.fixture
def kept(tmp_path):
    """A file with a probe, the probe, its fingerprint, and a function that counts how often a probe is fitted."""
    made_up.need("safetensors")
    path, wanted = tmp_path / "eval" / "probe.safetensors", alignment.fingerprint("data", "features", "texts")
    calls = []

    def make():
        calls.append(1)
        return alignment.fit(*_related(noise=len(calls)))[0]

    return path, alignment.load_or_fit(path, wanted, make), wanted, make, calls


def test_a_kept_probe_is_the_one_that_was_fitted(kept):
    path, probe, wanted, make, calls = kept
    again = alignment.load_or_fit(path, wanted, make)
    assert len(calls) == 1
    features = _related()[0]
    np.testing.assert_array_equal(again.predict(features), probe.predict(features))
    assert (again.ridge, again.explained) == (probe.ridge, probe.explained)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("changed", [("other", "features", "texts"), ("data", "o", "texts"), ("data", "features", "o")])
def test_a_probe_of_other_pictures_features_or_texts_is_fitted_anew(changed, kept, caplog):
    path, probe, wanted, make, calls = kept
    other = alignment.fingerprint(*changed)
    assert other != wanted
    anew = alignment.load_or_fit(path, other, make)
    assert len(calls) == 2
    assert "for other pictures, captions or networks" in caplog.text
    assert not np.array_equal(anew.matrix, probe.matrix)
    alignment.load_or_fit(path, other, make)
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_probe_is_fitted_anew_with_a_warning(damage, kept, caplog):
    path, _, wanted, make, calls = kept
    path.write_bytes(path.read_bytes()[:-50] if damage is None else damage)
    alignment.load_or_fit(path, wanted, make)
    assert len(calls) == 2
    assert "is no probe" in caplog.text


def test_a_file_of_other_arrays_is_no_probe(kept, caplog):
    path, _, wanted, make, calls = kept
    made_up.save(path, {"mean": np.zeros(3)})
    alignment.load_or_fit(path, wanted, make)
    assert len(calls) == 2
    assert "is no probe" in caplog.text

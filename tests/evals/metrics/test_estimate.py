"""Standard errors in cases where they are known."""

import numpy as np
import pytest

from dfjax.evals.metrics.estimate import Estimate, jackknife_variance, mean, share

VALUES = np.random.default_rng(0).normal(size=12)


def test_the_error_of_a_mean_is_the_usual_one():
    assert mean(VALUES) == Estimate(pytest.approx(VALUES.mean()), pytest.approx(VALUES.std(ddof=1) / 12**0.5))


def test_values_said_three_times_tell_no_more_than_once():
    groups = np.repeat(np.arange(12), 3) * 7 - 20
    assert mean(np.repeat(VALUES, 3), groups).stderr == pytest.approx(mean(VALUES).stderr)


def test_one_value_and_one_group_have_no_error():
    assert mean(VALUES[:1]) == Estimate(VALUES[0], None)
    assert mean(VALUES, np.zeros(12, int)).stderr is None


def test_the_jackknife_of_a_mean_is_its_variance():
    left_out = np.array([np.delete(VALUES, i).mean() for i in range(12)])
    assert jackknife_variance(left_out) == pytest.approx(VALUES.var(ddof=1) / 12)


def test_the_error_of_a_share_holds_at_both_ends_too():
    # Of so many samples the truth must lie within two errors nearly always, also where most of them say 0.
    drawn = np.random.default_rng(0).binomial(50, 0.02, 2000)
    found = [share(int(count), 50) for count in drawn]
    assert np.mean([abs(each.value - 0.02) <= 2 * each.stderr for each in found]) > 0.93
    assert share(0, 50).stderr > 0
    assert share(25, 50).stderr == pytest.approx(0.5 / 54**0.5)

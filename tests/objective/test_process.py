"""The process a config names: every choice of the config exists, and what cannot work is refused in words."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.core.registry import GUIDANCE, PREDICTIONS, SCHEDULES
from dfjax.diffusion import grids, prediction, samplers, timesteps, weighting
from dfjax.objective import process
from tests import small


def _diffusion(**values):
    return config_lib.resolve({"diffusion": values}).diffusion


def _sample(**values):
    return config_lib.resolve({"sample": values}).sample


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("diffusion.schedule", SCHEDULES),
        ("diffusion.prediction", PREDICTIONS),
        ("diffusion.loss", weighting.LOSSES),
        ("sample.sampler", samplers.SAMPLERS),
        ("sample.grid", grids.GRIDS),
        ("sample.guidance_method", GUIDANCE),
    ],
)
def test_the_config_offers_what_there_is(key, registry):
    assert set(config_lib.FIELDS[key].metadata["choices"]) == set(registry)


@pytest.mark.parametrize(
    ("name", "zero_terminal", "kind"), list(itertools.product(SCHEDULES, [False, True], PREDICTIONS))
)
def test_the_refused_pairs_are_those_of_the_table(name, zero_terminal, kind):
    wanted = _diffusion(schedule=name, zero_terminal=zero_terminal, prediction=kind)
    if zero_terminal and name not in ("linear", "scaled_linear"):
        with pytest.raises(config_lib.ConfigError, match=r"'diffusion\.zero_terminal'.*not " + name):
            process.make(wanted)
    elif kind == "eps" and (zero_terminal or name in ("flow", "cosine")):
        with pytest.raises(config_lib.ConfigError, match=r"undefined at t = 1.*use one of x0, v, flow, edm"):
            process.make(wanted)
    else:
        made = process.make(wanted)
        assert prediction.admitted(kind, made.schedule)
        assert made.prediction == kind


@pytest.mark.parametrize("density", config_lib.FIELDS["diffusion.timesteps"].metadata["choices"])
@pytest.mark.parametrize("steps", [0, 50])
@pytest.mark.parametrize("name", SCHEDULES)
def test_each_density_gives_levels_of_the_process(density, steps, name):
    made = process.make(_diffusion(timesteps=density, discrete_steps=steps, schedule=name))
    u = timesteps.stratified(jax.random.key(0), jnp.arange(64), 64)
    t = np.sort(np.asarray(made.timesteps(u)))
    assert t.shape == (64,)
    assert t[0] >= 0
    assert t[-1] <= 1
    if steps:
        np.testing.assert_allclose(t * 50, np.round(t * 50), atol=1e-5)
        assert t[0] > 0
    else:
        assert len(np.unique(t)) == 64


def test_every_number_of_the_loss_reaches_it():
    numbers = {"min_snr_gamma": 3.0, "sigmoid_bias": -1.5, "p2_gamma": 0.5, "data_std": 0.7}
    made = process.make(_diffusion(loss="p2", min_sigma=0.2, **numbers)).weighting
    assert made == weighting.Weighting("p2", floor=0.2, **numbers)


def test_churn_is_over_the_whole_run_of_which_an_edit_does_a_part():
    made, settings = process.make(_diffusion(schedule="edm")), _sample(sampler="heun", steps=10, churn=2.0)
    _, whole = process.solver(made, settings)
    _, part = process.solver(made, settings, strength=0.5)
    np.testing.assert_allclose(part.lift_noise, whole.lift_noise[5:])


def test_a_discrete_process_is_not_sampled_below_its_first_level():
    made = process.make(_diffusion(schedule="scaled_linear", discrete_steps=1000))
    times, _ = process.solver(made, _sample(grid="karras", steps=50, grid_min=1e-3))
    assert times[-2] == pytest.approx(1e-3)


def test_edm_gives_the_network_inputs_of_unit_variance_at_every_level():
    diffusion = {"diffusion.schedule": "edm", "diffusion.prediction": "edm", "diffusion.data_std": 0.5}
    made = process.make(small.config(diffusion).diffusion)
    seen = []

    class Spy:
        def apply(self, params, z, t, ids):
            seen.append(z)
            return jnp.zeros_like(z)

    rng = np.random.default_rng(0)
    for t in (0.1, 0.5, 1.0):
        level = jnp.full(64, t)
        x0 = 0.5 * rng.normal(size=(64, 8, 8, 3))
        z = jnp.asarray(x0 + float(made.schedule.sigma(np.asarray(t))) * rng.normal(size=x0.shape), jnp.float32)
        denoised = made.denoised(Spy(), None, z, level, None)
        # An output of 0 stands for the best linear estimate.
        assert float(jnp.std(denoised)) <= 0.51
    np.testing.assert_allclose([float(z.std()) for z in seen], 1.0, atol=0.03)


def test_other_predictions_see_the_state_as_it_is_unless_it_grows_without_bound():
    for name, scale in (("flow", 1.0), ("cosine", 1.0), ("edm", 1 / math.hypot(80, 1))):
        made = process.make(_diffusion(schedule=name))
        factor = prediction.input_scale("x0", made.schedule.frame, *(jnp.float32(v(1.0)) for v in _levels(made)))
        assert float(factor) == pytest.approx(scale)


def _levels(made):
    return [lambda t, f=f: f(np.asarray(t)) for f in (made.schedule.alpha, made.schedule.sigma)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sampler": "dpmpp_2m", "eta": 0.5}, r"'sample\.eta': the sampler dpmpp_2m takes none.*ddim"),
        ({"sampler": "ddpm", "eta": 0.0}, r"'sample\.eta': the sampler ddpm takes none"),
        ({"sampler": "ddim", "churn": 5.0}, r"'sample\.churn': the sampler ddim takes none.*heun"),
    ],
)
def test_a_number_that_the_sampler_does_not_take_is_refused(values, words):
    with pytest.raises(config_lib.ConfigError, match=words):
        process.solver(process.make(_diffusion()), _sample(**values))


def test_too_few_levels_for_the_betas_are_refused():
    with pytest.raises(config_lib.ConfigError, match=r"'diffusion\.discrete_steps': 10 .*at least 40"):
        process.make(_diffusion(schedule="linear", discrete_steps=10))


def test_more_steps_than_there_are_levels_are_refused():
    made = process.make(_diffusion(discrete_steps=10))
    process.solver(made, _sample(steps=10))
    with pytest.raises(config_lib.ConfigError, match=r"'sample\.steps': 11 steps.*10 levels"):
        process.solver(made, _sample(steps=11))


@pytest.mark.parametrize("eta", [-1.0, 0.0, 0.3])
def test_eta_is_the_samplers_own_unless_given(eta):
    made = process.make(_diffusion())
    for name, own in (("ddim", 0.0), ("euler_ancestral", 1.0)):
        _, table = process.solver(made, _sample(sampler=name, eta=eta))
        expected = own if eta < 0 else eta
        assert samplers.is_stochastic(table) == (expected > 0)


def test_a_strength_below_one_runs_the_last_share_of_the_steps():
    made = process.make(_diffusion())
    whole, _ = process.solver(made, _sample(steps=10))
    part, table = process.solver(made, _sample(steps=10), strength=0.35)
    np.testing.assert_array_equal(part, whole[6:])
    assert len(table.t) == 4


@pytest.mark.parametrize("values", [{"shift": 2.0}, {"schedule": "cosine"}, {"discrete_steps": 100}])
def test_levels_are_the_same_only_where_t_means_the_same(values):
    plain = process.make(_diffusion())
    assert plain.same_levels(process.make(_diffusion(prediction="v", loss="x0")))
    assert not plain.same_levels(process.make(_diffusion(**values)))

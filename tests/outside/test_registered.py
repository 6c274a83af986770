"""What a recipe or a notebook registers is found by the config and used, with no file of dfjax touched."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import dfjax
from dfjax import config as config_lib
from dfjax.core import registry
from dfjax.diffusion import tables
from dfjax.objective import port
from dfjax.objective import process as process_lib
from tests import small

SMALL = {
    "data.validation_split": "",
    "train.num_steps": 3,
    "train.batch_size": 4,
    "train.log_every_steps": 1,
    "optim.warmup_steps": 1,
}
RNG = np.random.default_rng(0)
PAIRS = [
    (RNG.integers(0, 256, (16, 16, 3), np.uint8), f"a picture of an {name}", {"score": np.float32(k)})
    for k, name in enumerate(("owl", "apple", "deer", "banana"))
]


def _config(values=None):
    return small.config(SMALL | (values or {}))


def _process(**values):
    return process_lib.make(config_lib.resolve({"diffusion": values}).diffusion)


def test_a_schedule():
    @dfjax.register.schedule("squared")
    def squared():
        return dfjax.Schedule("squared", "flow", lambda t: 1 - t**2, lambda t: t**2, lambda r: (r / (1 + r)) ** 0.5)

    process = _process(schedule="squared")
    assert float(process.schedule.alpha(jnp.asarray(0.5))) == pytest.approx(0.75)
    assert "squared" in config_lib.describe()


def test_a_prediction():
    dfjax.register.prediction(
        "half",
        dfjax.Prediction(
            target=lambda x0, eps, alpha, sigma, data_std: 0.5 * x0,
            to_x0=lambda value, z, alpha, sigma, data_std: 2 * value,
            sensitivity=lambda alpha, sigma, data_std: 0.5 * sigma,
        ),
    )
    network = small.network({"diffusion.prediction": "half", "diffusion.loss": "constant"})
    params, z = small.params(network.denoiser), jnp.ones((1, 16, 16, 3))
    told, t = jnp.asarray(network.inputs.conditioner.null())[None], jnp.full(1, 0.5)
    output = network.process.output(network.denoiser, params, z, t, told)
    np.testing.assert_allclose(network.process.denoised(network.denoiser, params, z, t, told), 2 * output, rtol=1e-6)


def test_a_density_of_t():
    dfjax.register.timesteps("late", lambda u, settings, schedule: 0.5 + u / 2)
    t = _process(timesteps="late").timesteps(jnp.linspace(0.1, 0.9, 5))
    np.testing.assert_allclose(t, 0.5 + np.linspace(0.1, 0.9, 5) / 2, rtol=1e-6)


def test_a_loss_weight():
    dfjax.register.loss("noise_alone", lambda weighting, alpha, sigma: 9 * sigma**2)
    weighting = _process(loss="noise_alone", prediction="x0").weighting
    # Of the x0 error: c^2 / sigma^2.
    assert float(weighting("x0", jnp.asarray(0.5), jnp.asarray(0.5))) == pytest.approx(9.0)


def test_a_sampler_and_a_grid():
    @dfjax.register.sampler("plain", option="eta", default=0.0)
    def plain(levels, schedule, eta):
        start, end = tables.start_and_end(levels)
        a, b = tables.first_order(start, end)
        return dfjax.Multistep(start.t, a, b, np.zeros((len(a), 0)))

    dfjax.register.grid("even", lambda schedule, steps, ends: np.linspace(1.0, 0.0, steps + 1))
    settings = config_lib.resolve({"sample": {"sampler": "plain", "grid": "even", "steps": 4}}).sample
    times, table = process_lib.solver(_process(), settings)
    np.testing.assert_allclose(times, [1, 0.75, 0.5, 0.25, 0])
    _, known = process_lib.solver(_process(), config_lib.resolve({"sample": {"sampler": "ddim", "steps": 4}}).sample)
    np.testing.assert_allclose(table.b, known.b)


def test_a_guidance_and_a_source_an_optimizer_and_a_denoiser_of_the_registry_train_and_draw(tmp_path):
    asked = []

    @dfjax.register.guidance("none_at_all")
    def none_at_all(conditional, other, scale):
        return conditional

    @dfjax.register.source("four")
    def four(data, split):
        asked.append(split)
        from dfjax.data.sources.pairs import of_pairs

        return of_pairs(PAIRS, name=f"four/{split}")

    @dfjax.register.optimizer("plain_descent")
    def plain_descent(config, descriptions):
        return optax.sgd(config.optim.learning_rate)

    @dfjax.register.denoiser("scaled")
    class Scaled(nnx.Module):
        def __init__(self, model, inputs, layout, rngs):
            self.scale = nnx.Param(jnp.zeros(inputs.shape[-1]))

        def __call__(self, z, t, caption):
            return z * self.scale[...]

    names = {"data.name": "four", "optim.name": "plain_descent", "model.name": "scaled"}
    run = dfjax.train(_config(names), tmp_path / "run")
    assert asked == ["train"]
    assert list(run.params) == ["scale"]
    strong = run.sample("an owl", guidance=9.0, guidance_method="none_at_all")
    np.testing.assert_array_equal(strong, run.sample("an owl", guidance=1.0, guidance_method="none_at_all"))
    # The same names, loaded anew.
    again = dfjax.load(tmp_path / "run")
    np.testing.assert_array_equal(again.sample("an owl", seed=5), run.sample("an owl", seed=5))


class Aligned(port.Objective):
    """Denoising, whose estimate also has to agree with a column of the source through a projection head of its own."""

    needs_ema = True

    def __init__(self, config):
        from dfjax.objective.diffusion import make

        self._base = make(config)

    def init(self, key):
        return {"head": {"kernel": jax.random.normal(key, (3, 1))}}

    def frozen(self):
        return {"offset": jnp.full((1,), 0.25)}

    def optimizer(self):
        return optax.sgd(0.1)

    def losses(self, networks, batch, keys):
        losses, scalars = self._base.losses(networks, batch, keys)
        seen = networks.clean(batch, keys).mean(axis=(1, 2)) @ networks.own["head"]["kernel"]
        apart = jnp.square(seen + networks.frozen["offset"] - batch["score"][:, None]).mean(axis=1)
        # Of an average there is no gradient, so its own head's stays that of `apart`.
        apart += 0 * networks.ema["objective"]["head"]["kernel"].sum()
        return losses + apart, {**scalars, "alignment": apart}


def test_an_alignment_loss_with_a_projection_head_of_its_own(tmp_path):
    dfjax.register.objective("aligned", Aligned)
    run = dfjax.train(_config({"train.objective": "aligned"}), tmp_path / "run", source=PAIRS)
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert '"train/alignment"' in metrics
    head = run._trained.params["objective"]["head"]["kernel"]
    assert head.shape == (3, 1)
    assert run.loss([PAIRS[0][0]], "an owl", score=np.zeros(1, np.float32)).shape == (1,)


class Reconstruction(port.Objective):
    """An autoencoder's error, whose encoder and decoder are the objective's own parameters."""

    def init(self, key):
        down, up = jax.random.split(key)
        return {"down": 0.1 * jax.random.normal(down, (3, 2)), "up": 0.1 * jax.random.normal(up, (2, 3))}

    def losses(self, networks, batch, keys):
        clean = networks.clean(batch, keys)
        again = clean @ networks.own["down"] @ networks.own["up"]
        return jnp.square(again - clean).mean(axis=(1, 2, 3)), {}


def test_a_reconstruction_loss_of_an_autoencoder_trains_its_own_parameters_alone(tmp_path):
    objective = Reconstruction()
    values = {"train.num_steps": 30, "optim.learning_rate": 0.05, "optim.decay": "none"}
    run = dfjax.train(_config(values), tmp_path / "run", source=PAIRS, objective=objective)
    first = small.network(values)
    before = objective.losses(
        port.Networks(None, {}, first.inputs.codec, None, objective.init(jax.random.key(0))),
        {"image": jnp.asarray(np.stack([picture for picture, *_ in PAIRS]))},
        port.Keys(0, 0, 0, jnp.arange(4), 4),
    )[0]
    after = run.loss([picture for picture, *_ in PAIRS], "an owl", score=np.zeros(4, np.float32))
    assert after.mean() < 0.8 * float(before.mean())


def test_dfjaxs_own_names_stay_its_own_and_a_new_registration_replaces_ones_own():
    with pytest.raises(registry.RegistryError, match="of its own: choose another name"):
        dfjax.register.sampler("ddim", lambda levels, schedule, value: None)
    with pytest.raises(registry.RegistryError, match="letters, digits"):
        dfjax.register.guidance("no good", lambda *_: None)
    dfjax.register.guidance("mine", 1)
    dfjax.register.guidance("mine", 2)
    assert registry.GUIDANCE["mine"] == 2
    with pytest.raises(config_lib.ConfigError, match="did you mean 'apg'"):
        config_lib.resolve({"sample": {"guidance_method": "apgg"}})

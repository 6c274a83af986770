"""The sampler: one program for every prompt, and each picture its own."""

import dataclasses
import functools

import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.inputs import network as network_lib
from dfjax.inputs import tokenizer as tokenizer_lib
from dfjax.sample import generate, restore
from dfjax.sample.generate import Edit, Request
from tests import small

WANTED = [
    Request("a red apple", 0, 2.0),
    Request("a banana", 1, 1.0),
    Request("a red apple", 2, 5.0),
    Request("", 3, 3.0),
    Request("a green apple", 7, 2.0),
]


@functools.cache
def _sampler(batch_size=5, film=False, guide_seed=None, **settings):
    network = small.network()
    settings = config_lib.resolve({"sample": {"steps": 4, "sampler": "ddim"} | settings}).sample
    sampler = generate.Sampler(
        network,
        small.one_device(),
        settings=settings,
        batch_size=batch_size,
        film=film,
        guide=None if guide_seed is None else _trained(guide_seed),
    )
    return sampler, small.params(network)


def _trained(seed, values=None):
    network = small.network(values)
    return restore.Trained(network, small.params(network, seed), 1)


def _picture():
    return np.random.default_rng(5).integers(0, 256, (16, 16, 3)).astype(np.uint8)


def _upper_half():
    mask = np.zeros((16, 16, 1), np.float32)
    mask[:8] = 1.0
    return mask


EDITS = {
    "a little": Edit(_picture(), 0.25),
    "all": Edit(_picture(), 1.0),
    "upper half": Edit(_picture(), 1.0, _upper_half()),
    "upper half a little": Edit(_picture(), 0.5, _upper_half()),
}


def _draw(wanted, seed=0, edit=None, **options):
    sampler, params = _sampler(**options)
    return sampler(params, wanted, seed, EDITS[edit] if edit else None)[0]


def _same(drawn, expected):
    assert drawn.shape == expected.shape
    assert drawn.dtype == np.uint8
    assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_prompts_seeds_and_guidance_change_the_picture_and_compile_nothing():
    first = _draw(WANTED)
    sampler, _ = _sampler()
    assert first.shape == (5, 16, 16, 3)
    other_prompt = _draw([Request("a green apple", r.index, r.guidance) for r in WANTED])
    other_seed = _draw(WANTED, seed=1)
    other_guidance = _draw([Request(r.prompt, r.index, 8.0) for r in WANTED])
    # More than fits in a batch, and less.
    assert _draw(WANTED * 2).shape == (10, 16, 16, 3)
    assert _draw(WANTED[:2]).shape == (2, 16, 16, 3)
    (program,) = sampler._programs.values()
    assert program._cache_size() == 1
    for other in (other_prompt, other_seed, other_guidance):
        assert (other[0] != first[0]).any()
    np.testing.assert_array_equal(other_prompt[4], first[4])


def test_a_picture_does_not_depend_on_its_batch():
    together = _draw(WANTED)
    alone = np.concatenate([_draw([request], batch_size=1) for request in WANTED])
    _same(alone, together)
    _same(_draw(WANTED[::-1])[::-1], together)
    _same(_draw(WANTED * 2)[5:], together)


def test_the_same_seed_draws_the_same():
    np.testing.assert_array_equal(_draw(WANTED, seed=9), _draw(WANTED, seed=9))


def test_the_nth_picture_of_every_prompt_starts_from_the_same_noise():
    wanted = generate.requests(["an owl", "a banana"], 3, 2.5)
    assert [(r.prompt, r.index, r.guidance) for r in wanted] == [
        (prompt, index, 2.5) for prompt in ("an owl", "a banana") for index in range(3)
    ]


def test_a_guidance_of_one_is_the_prompt_alone():
    plain = [Request(r.prompt, r.index, 1.0) for r in WANTED]
    strong = [Request(r.prompt, r.index, 9.0) for r in WANTED]
    # Guidance never acts in an empty interval.
    never = {"guidance_interval": (0.01, 0.02)}
    _same(_draw(plain), _draw(strong, **never))
    assert (_draw(strong) != _draw(plain)).any()
    # The empty prompt is the null caption: guided or not, it is the same.
    _same(_draw(strong)[3:4], _draw(plain)[3:4])


@pytest.mark.gate(1)
@pytest.mark.parametrize("sampler", ["ddpm", "unipc_2", "flow_heun"])
def test_a_film_goes_from_noise_to_picture(sampler):
    drawer, params = _sampler(batch_size=2, film=True, sampler=sampler)
    pictures, frames = drawer(params, WANTED[:3], 0)
    assert pictures.shape == (3, 16, 16, 3)
    assert frames.shape == (4, 3, 16, 16, 3)
    strip = generate.film_strip(frames, pictures, columns=3)
    assert strip.shape == (9, 16, 16, 3)
    np.testing.assert_array_equal(strip[2::3], pictures)
    np.testing.assert_array_equal(strip[0::3], frames[0])
    np.testing.assert_array_equal(strip[1::3], frames[-1])


def test_a_prompt_that_is_too_long_is_cut_with_a_warning(caplog):
    long = "a picture of a watermelon " * 9
    _draw([Request(long, 0, 2.0)] * 2)
    (record,) = [r for r in caplog.records if "is longer than text.max_tokens=8" in r.message]
    assert "'a pic" in record.message.split("only")[1]


@pytest.mark.gate(1)
@pytest.mark.parametrize("sampler", ["ddpm", "dpmpp_2m_sde"])
def test_a_stochastic_samplers_picture_does_not_depend_on_its_batch_either(sampler):
    together = _draw(WANTED, sampler=sampler)
    _same(_draw(WANTED[::-1], sampler=sampler)[::-1], together)
    _same(_draw(WANTED[3:4], batch_size=1, sampler=sampler), together[3:4])
    assert (together[0] != _draw(WANTED, sampler="ddim")[0]).any()


def test_a_negative_prompt_is_led_away_from():
    away = [Request(r.prompt, r.index, 5.0, "a banana") for r in WANTED]
    plain = [Request(r.prompt, r.index, 5.0) for r in WANTED]
    drawn, null = _draw(away), _draw(plain)
    assert (drawn[0] != null[0]).any()
    # Away from the prompt itself there is no way to go: as if there were no guidance.
    alone = [Request(r.prompt, r.index, 1.0) for r in WANTED]
    _same(drawn[1:2], _draw(alone)[1:2])


def test_negative_prompts_and_scales_are_one_for_all_or_one_for_each_prompt():
    wanted = generate.requests(["an owl", "a banana"], 1, [2.0, 4.0], ["red", ""])
    assert [(r.guidance, r.negative) for r in wanted] == [(2.0, "red"), (4.0, "")]
    with pytest.raises(ValueError, match="shorter"):
        generate.requests(["an owl", "a banana"], 1, [2.0])


def test_a_guide_is_led_away_from_and_the_model_itself_as_guide_changes_nothing():
    same, other = _draw(WANTED, guide_seed=0), _draw(WANTED, guide_seed=1)
    _same(same, _draw([Request(r.prompt, r.index, 1.0) for r in WANTED]))
    assert (other[0] != same[0]).any()
    _same(other[1], same[1])  # Its scale is 1.


@pytest.mark.parametrize("values", [{"diffusion.schedule": "cosine"}, {"data.resolution": 32}])
def test_a_guide_that_means_other_states_is_refused(values):
    with pytest.raises(config_lib.ConfigError, match=r"'sample\.guide': a guide must have"):
        generate.Sampler(small.network(), small.one_device(), guide=_trained(0, values))


def test_a_guide_reads_the_prompt_in_its_own_tokens():
    guide = _trained(1)
    other = tokenizer_lib.learn([caption[::-1] for caption in small.CAPTIONS], small.VOCAB, 8)
    drawn = []
    network = small.network()
    for saved in (small.tokenizer().model, other.model):
        own = dataclasses.replace(guide, network=network_lib.make(small.config(), saved=saved))
        sampler = generate.Sampler(network, small.one_device(), guide=own, batch_size=5)
        drawn.append(sampler(small.params(network), WANTED, 0)[0])
    assert (drawn[0][0] != drawn[1][0]).any()


def test_a_guide_may_predict_something_else():
    network, guide = small.network(), _trained(0, {"diffusion.prediction": "v"})
    sampler = generate.Sampler(network, small.one_device(), guide=guide, batch_size=5)
    assert sampler(small.params(network), WANTED, 0)[0].shape == (5, 16, 16, 3)


def test_the_strength_says_how_noisy_the_picture_is_to_begin_with():
    drawer, params = _sampler(film=True)
    _, frames = drawer(params, WANTED, 0, EDITS["a little"])
    # The last of four steps starts at t = 0.25.
    assert frames.shape == (1, 5, 16, 16, 3)
    noise = frames[0] / 127.5 - 1 - 0.75 * (_picture() / 127.5 - 1)
    inside = (frames[0] > 0) & (frames[0] < 255)
    assert np.abs(noise[inside]).mean() == pytest.approx(0.25 * np.sqrt(2 / np.pi), rel=0.2)
    # Under zero terminal SNR a strength of 1 leaves nothing of it.
    _same(_draw(WANTED, edit="all"), _draw(WANTED))


def test_another_picture_or_mask_to_edit_compiles_nothing():
    sampler, params = _sampler(batch_size=3)
    drawn = [
        sampler(params, WANTED[:3], 0, Edit(np.full((16, 16, 3), level, np.uint8), 1.0, mask))[0]
        for level, mask in ((10, _upper_half()), (120, _upper_half()), (240, 1 - _upper_half()))
    ]
    assert len({picture.tobytes() for picture in drawn}) == 3
    (program,) = sampler._programs.values()
    assert program._cache_size() == 1


def test_an_edit_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="strength of an edit must be above 0"):
        Edit(_picture(), 0.0)
    with pytest.raises(ValueError, match=r"a mask \(8, 16, 1\) does not fit"):
        Edit(_picture(), 0.5, _upper_half()[:8])


@pytest.mark.gate(3)
@pytest.mark.parametrize("sampler", ["ddpm", "flow_heun", "dpmpp_2s", "unipc_3", "lms_4", "dpmpp_2m_sde"])
@pytest.mark.parametrize("edit", ["upper half", "upper half a little"])
def test_what_the_mask_keeps_is_kept_to_the_byte(sampler, edit):
    drawn = _draw(WANTED, sampler=sampler, edit=edit)
    np.testing.assert_array_equal(drawn[:, 8:], np.broadcast_to(_picture()[8:], (5, 8, 16, 3)))
    assert (drawn[:, :8] != _picture()[:8]).mean() > 0.5


@pytest.mark.parametrize("values", [{"guidance_method": "apg"}, {"guidance_rescale": 0.7}])
def test_other_guidance_acts_and_leaves_a_scale_of_one_alone(values):
    drawn, plain = _draw(WANTED, **values), _draw(WANTED)
    assert (drawn[2] != plain[2]).any()
    _same(drawn[1], plain[1])

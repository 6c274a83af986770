"""The sampler: one program for every prompt, and each picture its own."""

import functools

import jax
import numpy as np
import pytest

from dfjax import config as config_lib
from dfjax.parallel import mesh as mesh_lib
from dfjax.sample import generate
from dfjax.sample.generate import Request
from tests import small

WANTED = [
    Request("a red apple", 0, 2.0),
    Request("a banana", 1, 1.0),
    Request("a red apple", 2, 5.0),
    Request("", 3, 3.0),
    Request("a green apple", 7, 2.0),
]


@functools.cache
def _sampler(batch_size=5, film=False, **settings):
    config = small.config()
    mesh = mesh_lib.make(config_lib.Mesh(), jax.devices()[:1])
    network = small.denoiser()
    settings = config_lib.resolve({"sample": {"steps": 4} | settings}).sample
    sampler = generate.Sampler(
        network, config, small.tokenizer(), mesh, settings=settings, batch_size=batch_size, film=film
    )
    return sampler, small.params(network)


def _draw(wanted, seed=0, **options):
    sampler, params = _sampler(**options)
    return sampler(params, wanted, seed)[0]


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
    assert sampler._draw._cache_size() == 1
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


@pytest.mark.parametrize("sampler", ["ddim", "euler", "heun"])
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

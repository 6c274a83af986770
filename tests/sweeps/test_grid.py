"""The helpers of a recipe's sweep()."""

import math
import subprocess
import sys

import pytest

from dfjax.launching.errors import JobError
from dfjax.sweeps import grid


def test_a_product_has_every_combination_the_last_axis_fastest():
    assert list(grid.product({"a.x": (1, 2), "a.y": ("p", "q")})) == [
        {"a.x": 1, "a.y": "p"},
        {"a.x": 1, "a.y": "q"},
        {"a.x": 2, "a.y": "p"},
        {"a.x": 2, "a.y": "q"},
    ]


def test_what_belongs_together_is_an_axis_of_a_product():
    found = list(grid.product({"a.x": (1, 2)}, grid.zipped({"a.y": (3, 4), "a.z": (5, 6)}), [{"a.w": 0}]))
    assert found == [
        {"a.x": x, "a.y": y, "a.z": z, "a.w": 0} for x in (1, 2) for y, z in ((3, 5), (4, 6))
    ]  # fmt: skip


def test_a_product_of_nothing_is_the_recipe_itself():
    assert list(grid.product()) == [{}]


def test_log_uniform_is_the_same_for_a_seed_and_even_over_the_decades():
    found = grid.log_uniform(1e-4, 1e-1, 300, seed=1)
    assert found == grid.log_uniform(1e-4, 1e-1, 300, seed=1)
    assert found != grid.log_uniform(1e-4, 1e-1, 300, seed=2)
    assert found == sorted(found)
    assert found[0] >= 1e-4 and found[-1] <= 1e-1
    decades = [math.floor(math.log10(value)) for value in found]
    assert all(70 < decades.count(decade) < 130 for decade in (-4, -3, -2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: list(grid.product({"a.x": (1,)}, {"a.x": (2,)})), "two axes of product() set 'a.x'"),
        (lambda: list(grid.product({"a.x": ()})), "'a.x' has no values"),
        (lambda: list(grid.product({"a.x": 1})), "'a.x' takes several values, as in (1,)"),
        (lambda: list(grid.product({"a.x": "both"})), "'a.x' takes several values, as in ('both',)"),
        (lambda: list(grid.zipped({"a.x": (1,), "a.y": (1, 2)})), "not a.x 1, a.y 2"),
        (lambda: grid.log_uniform(0, 1, 2, seed=0), "0 < low <= high"),
        (lambda: grid.log_uniform(2, 1, 2, seed=0), "0 < low <= high"),
        (lambda: grid.log_uniform(1, 2, 0, seed=0), "a count of at least 1"),
    ],
)
def test_what_makes_no_sweep_is_refused_in_a_line(make, words):
    with pytest.raises(JobError) as error:
        make()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_importing_it_is_light():
    program = (
        "import sys; from dfjax.sweeps import grid; print([n for n in ('jax', 'numpy', 'absl') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

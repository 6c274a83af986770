"""What ``import dfjax`` gives, and how little it costs."""

import pathlib
import subprocess
import sys

import dfjax
from docs import api


def test_importing_it_imports_nothing_heavy_and_knows_its_names():
    program = (
        "import sys, time\n"
        "started = time.perf_counter()\n"
        "import dfjax\n"
        "took = time.perf_counter() - started\n"
        "heavy = ('jax', 'flax', 'numpy', 'optax', 'orbax', 'grain', 'tensorflow', 'tensorflow_datasets', 'clu')\n"
        "print([name for name in heavy if name in sys.modules], len(dir(dfjax)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("]")[0] == "["


def test_every_stable_name_is_there_and_has_words():
    for name in dfjax.__all__:
        thing = getattr(dfjax, name)
        assert name == "__version__" or thing.__doc__, name


def test_a_name_that_is_none_is_told_with_those_that_are():
    try:
        dfjax.trian  # noqa: B018
    except AttributeError as error:
        assert "train" in str(error)
    else:
        raise AssertionError("it has a name that nobody gave it")


def test_the_page_of_the_api_says_what_the_docstrings_say():
    assert api.PAGE.read_text() == api.page(), "run `make docs`"
    assert pathlib.Path(api.PAGE).name == "api.md"

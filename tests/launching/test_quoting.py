"""Words through the two texts that they are put in: a line of bash, and YAML between double quotes."""

import subprocess
import sys

import hypothesis
import pytest
import yaml
from hypothesis import strategies

from dfjax.launching import quoting

WORDS = [
    "plain",
    "",
    "a b",
    'it\'s "quoted"',
    "$HOME `id` $(JOBSET_NAME) $$",
    "line\nline\ttab\r",
    "back\\slash \\x41",
    "{braces} %s #no-comment",
    "été 🍌",
    "!history *?[a-z] ~ & ; | > <",
]


def _through_bash(words: list[str]) -> list[str]:
    program = (
        "import sys; sys.stdout.buffer.write(b'\\0'.join(w.encode('utf-8', 'surrogateescape') for w in sys.argv[1:]))"
    )
    line = f"exec {quoting.bash([sys.executable, '-c', program, *words])}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")


def test_bash_gives_each_word_whole():
    assert _through_bash(WORDS) == WORDS


@pytest.mark.parametrize("word", WORDS)
def test_the_line_is_one_that_yaml_and_kubernetes_leave_alone(word):
    line = quoting.bash([word])
    assert line.isascii() and "\n" not in line and '"' not in line and "$(" not in line
    assert isinstance(yaml.safe_load(f'"{line}"'), str)
    assert yaml.safe_load(f"block: |\n  {line}\n")["block"] == f"{line}\n"


@hypothesis.given(strategies.text(strategies.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@hypothesis.settings(max_examples=20)
def test_any_text_is_whole(text):
    assert _through_bash(["first", text]) == ["first", text]

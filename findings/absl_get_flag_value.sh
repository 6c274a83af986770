#!/usr/bin/env bash
# absl-py 2.5.0. FLAGS.get_flag_value(name, default).
# Guess: the default comes back where there is no flag of that name, as with dict.get or getattr.
# Seen: AttributeError. The default is only for a flag that is defined and whose value is None.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check absl-py==2.5.0
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

from absl import flags

flags.DEFINE_string("there", None, "a flag without a value")
flags.FLAGS(["program"])
print("absl-py", importlib.metadata.version("absl-py"))
print("guess: get_flag_value('absent', 'default') == 'default'")
print("of a flag whose value is None:", flags.FLAGS.get_flag_value("there", "default"))
try:
    found = flags.FLAGS.get_flag_value("absent", "default")
except AttributeError as error:
    print("of no flag: AttributeError:", error)
    sys.exit(0 if flags.FLAGS.get_flag_value("there", "default") == "default" else 1)
print("of no flag:", found)
sys.exit(1)
PYTHON

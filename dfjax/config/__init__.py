"""The config schema: every key with its type, default, unit and meaning, a section a class.

A recipe (``configs/*.py``) starts from :func:`default` and sets only what differs. :func:`resolve` turns the
recipe's ``ConfigDict`` into the typed, frozen :class:`Config` that the rest of dfjax reads, and refuses what cannot
work, naming the key. A config is data: it goes to JSON and back, and never runs code.
"""

from dfjax.config.data import Data, Text
from dfjax.config.diffusion import Diffusion
from dfjax.config.keys import choices_of
from dfjax.config.model import Model
from dfjax.config.sampling import Eval, Sample
from dfjax.config.schema import (
    FIELDS,
    SECTIONS,
    Config,
    changes_that_break_resume,
    default,
    describe,
    from_json,
    nearest,
    resolve,
)
from dfjax.config.training import Hosts, Mesh, Optim, Train
from dfjax.core.errors import ConfigError

__all__ = [
    "FIELDS",
    "SECTIONS",
    "Config",
    "ConfigError",
    "Data",
    "Diffusion",
    "Eval",
    "Hosts",
    "Mesh",
    "Model",
    "Optim",
    "Sample",
    "Text",
    "Train",
    "changes_that_break_resume",
    "choices_of",
    "default",
    "describe",
    "from_json",
    "nearest",
    "resolve",
]

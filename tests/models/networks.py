"""Configs of every network at its smallest, by what it is given: token ids, or features of a frozen encoder."""

from tests.multidevice.layouts import MMDIT

FEATURES = {"data.name": "synthetic", "data.validation_split": "", "text.features": 24}
NETWORKS = {"ids": {}, "features": FEATURES, "mmdit": MMDIT}

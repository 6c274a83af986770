"""Configs of every network at its smallest, by what it is given: token ids, or features of a frozen encoder."""

from tests.multidevice.layouts import FEATURES, MMDIT

NETWORKS = {"ids": {}, "features": FEATURES, "mmdit": MMDIT}

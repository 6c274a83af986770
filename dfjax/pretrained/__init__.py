"""Networks that others trained, in JAX, over weights of packages or of the user."""

from dfjax.core.registry import FEATURES

for _name in ("efficientnet_lite0", "inception_v3", "dinov2"):
    FEATURES.later(_name, f"{__name__}.features:{_name.upper()}")

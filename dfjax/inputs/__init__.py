"""What a batch is: codecs of pictures, conditioners of captions, and the networks over them."""

from dfjax.core.registry import CODECS, CONDITIONERS

CODECS.later("identity", "dfjax.inputs.codec:identity")
CODECS.later("latents", "dfjax.inputs.codec:latents")
CONDITIONERS.later("tokens", "dfjax.inputs.conditioning:tokens")
CONDITIONERS.later("features", "dfjax.inputs.conditioning:features")

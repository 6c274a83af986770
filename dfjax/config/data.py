"""The sections ``data`` and ``text``: which pictures and captions, in what form."""

import dataclasses

from dfjax.config.keys import key
from dfjax.core import registry


@dataclasses.dataclass(frozen=True)
class Data:
    name: str = key(
        "emoji_captions",
        "TFDS data set, `name` or `name/config`, with an image and a text or label feature; synthetic: random numbers",
    )
    dir: str = key("", "folder of prepared TFDS data; empty: $TFDS_DATA_DIR, else ~/tensorflow_datasets", resume=True)
    split: str = key("train", "split to train on")
    validation_split: str = key("heldout", "split for the validation loss; empty: no validation")
    category: str = key("", "keep only records whose `category` feature has this value; empty: all")
    image_key: str = key("", "image feature; empty: the only one")
    text_key: str = key("", "text or class-label feature; empty: the only one")
    resolution: int = key(32, "side of the square training pictures, pixels", low=8, high=4096)
    latent_channels: int = key(
        0, "channels of an encoder's latents, which then stand for the pictures; 0: pixels", low=0, high=256
    )
    latent_reduction: int = key(8, "side of the picture over the side of its latents", low=1, high=64)
    codec: str = key(
        "auto",
        "what is noised; auto: latents where data.latent_channels says so, else pixels (identity)",
        choices=registry.CODECS,
        auto=True,
    )
    flip: bool = key(False, "mirror half of the pictures left to right")
    vary_captions: bool = key(
        False, "say the same caption in several ways (with and without its style, 'a picture of ...')"
    )
    recolour: float = key(
        0.0, "share of recolourable pictures shown in another hue, with caption to match", low=0, high=1
    )
    max_pixels: int = key(
        2**26,
        "a picture whose header announces more pixels is not decoded, but replaced by another record's",
        low=1,
        high=89_478_485,  # Pillow warns of more.
    )
    max_bad_share: float = key(
        0.1, "the run ends once more than this share of the records it visited are bad", low=0, high=1, resume=True
    )
    workers: int = key(
        2, "decoding processes per host; 0 decodes in the training process", low=0, high=256, resume=True
    )


@dataclasses.dataclass(frozen=True)
class Text:
    vocab_size: int = key(1024, "most pieces the tokenizer may learn, 256 bytes included", low=300, high=256_000)
    max_tokens: int = key(16, "tokens per caption; longer ones are cut, with a warning", low=2, high=4096)
    depth: int = key(1, "transformer layers of the text tower", low=0, high=64)
    conditioner: str = key(
        "auto",
        "what the network is told of captions; auto: features where text.features says so, else tokens",
        choices=registry.CONDITIONERS,
        auto=True,
    )
    features: int = key(
        0, "channels of a frozen encoder's features, which then stand for the captions; 0: own tower", low=0, high=65536
    )

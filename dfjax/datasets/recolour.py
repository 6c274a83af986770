"""Showing a picture in another hue: red bananas, blue apples.

A model that has seen many objects in many colours can learn that colour and object are two things, and then draw a
pair that it has never seen. :data:`UNSEEN_PAIRS` are kept out of training to find out whether it has.
"""

import colorsys
import dataclasses
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, UInt8

# Rec. 601: how bright the eye finds red, green and blue.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Pixels: TypeAlias = Float[np.ndarray, "height width 3"]


@dataclasses.dataclass(frozen=True)
class Hue:
    """A named hue: its centre, and the window of hues that are still called by its name, in HSV degrees."""

    centre: float
    low: float
    high: float

    def holds(self, degrees: float | np.ndarray) -> Bool[np.ndarray, "..."]:
        """Whether hues (degrees, any turn) lie in the window, which may pass through 0."""
        return (np.asarray(degrees) - self.low) % 360 <= self.high - self.low


# Windows do not touch, so that what lies between two names (orange, lime, turquoise, magenta) counts as neither.
HUES = {
    "red": Hue(0, -16, 14),
    "yellow": Hue(54, 40, 68),
    "green": Hue(120, 80, 155),
    "cyan": Hue(183, 168, 200),
    "blue": Hue(228, 210, 250),
    "purple": Hue(282, 262, 305),
}


def chroma(rgb: Pixels) -> Float[np.ndarray, "height width"]:
    """Colourfulness max(R, G, B) - min(R, G, B) of pixels in [0, 1]: 0 for greys, 1 for pure hues."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    # NumPy reduces an axis of three ten times slower.
    return np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)


def hue_degrees(rgb: Pixels) -> Float[np.ndarray, "height width"]:
    """HSV hue in [0, 360) of pixels in [0, 1]; 0 where a pixel is grey."""
    red, green, blue = np.moveaxis(rgb, -1, 0)
    spread = chroma(rgb)
    safe = np.where(spread > 0, spread, 1)
    top = rgb.argmax(axis=-1)
    sixths = np.choose(top, [(green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe])
    return np.where(spread > 0, sixths * 60 % 360, 0)


def recolour(rgb: Pixels, colour: str) -> Pixels:
    """The picture in one hue: every pixel takes the hue of ``colour`` and keeps its chroma; greys stay grey.

    With the pure hue c (HSV saturation and value 1) of luma y, a pixel of luma Y and chroma k becomes
    ``Y' + k (c - y)``, which has hue c, chroma k and luma Y'. Y' is Y moved as little as it takes for all three
    channels to stay in [0, 1]: into ``[k y, 1 - k (1 - y)]``.

    Args:
      rgb: (height, width, 3), in [0, 1].
      colour: a name in :data:`HUES`; KeyError otherwise.
    """
    pure = np.array(colorsys.hsv_to_rgb(HUES[colour].centre / 360, 1, 1), rgb.dtype)
    pure_luma = pure @ LUMA.astype(rgb.dtype)
    spread = chroma(rgb)
    luma = np.clip(rgb @ LUMA.astype(rgb.dtype), spread * pure_luma, 1 - spread * (1 - pure_luma))
    # The clip only removes rounding errors of the last bit.
    return np.clip(luma[..., None] + spread[..., None] * (pure - pure_luma), 0, 1)


def is_recolourable(rgba: UInt8[np.ndarray, "height width 4"]) -> bool:
    """Whether enough of the picture has a colour for another one to show: a third of the foreground, clearly coloured.

    Args:
      rgba: (height, width, 4), uint8; the foreground is where alpha is over a half.
    """
    foreground = rgba[..., 3] > 127
    coloured = chroma(rgba[..., :3] / 255) > 0.25
    return bool(foreground.any()) and float(coloured[foreground].mean()) >= 0.35


# (colour, object) pairs that training never shows: neither the recoloured picture nor a caption that holds both. Each
# object is plain to recognise, has enough colour in all three styles of emoji_captions, is in none of them naturally of
# that hue (by the mean hue of its coloured pixels), and is seen in its own and in four or five other hues. Objects with
# a near twin that would give the answer away (tomato and apple, hot and bell pepper) are left out. Four of each hue, so
# that no hue is rarer in training than another.
UNSEEN_PAIRS = (
    ("red", "cucumber"),
    ("red", "lemon"),
    ("red", "blueberries"),
    ("red", "pretzel"),
    ("yellow", "strawberry"),
    ("yellow", "broccoli"),
    ("yellow", "cherries"),
    ("yellow", "watermelon"),
    ("green", "banana"),
    ("green", "croissant"),
    ("green", "potato"),
    ("green", "crab"),
    ("cyan", "carrot"),
    ("cyan", "pear"),
    ("cyan", "pineapple"),
    ("cyan", "cookie"),
    ("blue", "pizza"),
    ("blue", "peach"),
    ("blue", "taco"),
    ("blue", "ear of corn"),
    ("purple", "avocado"),
    ("purple", "cheese wedge"),
    ("purple", "bread"),
    ("purple", "french fries"),
)

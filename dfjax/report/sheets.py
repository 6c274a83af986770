"""Sheets of pictures that a run drew: where each picture lies, and the same sheet small enough for a page."""

import base64
import dataclasses
import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

# More is refused: a page is no place for it, and a file could be a bomb.
_MOST_PIXELS = 2**26
# Pictures are shown at most so large, and above a side of _EXACT pixels as JPEG.
_SIDE, _EXACT, _QUALITY = 128, 64, 88


@dataclasses.dataclass(frozen=True)
class Layout:
    """Pictures of ``side`` pixels in rows and columns, each pixel ``scale`` wide, ``gap`` apart and from the edge."""

    rows: int
    columns: int
    side: int
    scale: int
    gap: int


def find_layout(width: int, height: int, side: int, rows: int | None = None, columns: int | None = None):
    """The layout of a sheet of ``width`` x ``height`` as :func:`dfjax.core.images.grid` makes them, or without gaps.

    Args:
      side: of a picture, before scaling. rows, columns: where they are known.

    Returns:
      A Layout, or None where nothing fits.
    """
    usual = max(1, 64 // side)
    scales = [usual, *(scale for scale in range(1, max(width, height) // side + 1) if scale != usual)]
    for gap in (2, 0, 1, 3, 4):
        for scale in scales:
            pitch = side * scale + gap
            (down, left_over), (across, also) = divmod(height - gap, pitch), divmod(width - gap, pitch)
            fits = down > 0 and across > 0 and not left_over and not also
            if fits and rows in (None, down) and columns in (None, across):
                return Layout(down, across, side, scale, gap)
    return None


def read(path: Path) -> UInt8[np.ndarray, "height width 3"] | None:
    """A PNG as RGB; None where there is none, or it is damaged, or too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    return None
                return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None


def compact(sheet: UInt8[np.ndarray, "height width 3"], layout: Layout) -> UInt8[np.ndarray, "h w 3"]:
    """The pictures alone, without gaps and at their own size."""
    pitch, size = layout.side * layout.scale + layout.gap, layout.side * layout.scale
    rows = [
        np.concatenate(
            [
                sheet[top : top + size : layout.scale, left : left + size : layout.scale]
                for left in range(layout.gap, layout.gap + layout.columns * pitch, pitch)
            ],
            axis=1,
        )
        for top in range(layout.gap, layout.gap + layout.rows * pitch, pitch)
    ]
    return np.concatenate(rows)


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A sheet for the page: a data URI, with pictures of ``side`` pixels in rows and columns and no gaps.

    ``side`` is 0 where nobody knows where the pictures lie: then it is the sheet as it was.
    """

    uri: str
    rows: int
    columns: int
    side: int


def load(path: Path, side: int | None, rows: int | None = None, columns: int | None = None) -> Sheet | None:
    """A sheet of pictures of ``side`` pixels, small enough for a page; None where it cannot be read."""
    pixels = read(path)
    if pixels is None:
        return None
    height, width = pixels.shape[:2]
    layout = find_layout(width, height, side, rows, columns) if side else None
    if layout is None:
        return Sheet(_uri(_shrunk(pixels, 1024 / max(width, height)), exact=max(width, height) <= 1024), 1, 1, 0)
    shown = min(layout.side, _SIDE)
    # The gaps are gone, so that pictures stay where they are when the whole is shrunk.
    pixels = _shrunk(compact(pixels, layout), shown / layout.side)
    return Sheet(_uri(pixels, exact=shown <= _EXACT), layout.rows, layout.columns, shown)


def _shrunk(pixels: np.ndarray, factor: float) -> np.ndarray:
    if factor >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _uri(pixels: np.ndarray, exact: bool) -> str:
    buffer = io.BytesIO()
    if exact:
        Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    kind = "png" if exact else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()

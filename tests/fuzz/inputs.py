"""Hostile inputs: bytes that were a right file once, and JSON of any shape."""

import struct
import zlib
from collections.abc import Callable

from hypothesis import strategies as st

# Numbers at the edges of types, texts at the edges of encodings, names that mean something to Python or to a path.
NUMBERS = st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, 5e-324]) | st.integers() | st.floats()
TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "\0",
        "\ud800",
        "\u202e",
        "../../etc/passwd",
        "/",
        "__class__",
        "{0.__class__}",
        "os.system",
        "é" * 2000,
        "NaN",
    ]
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@st.composite
def mutated(draw, originals: st.SearchStrategy[bytes], mend: Callable[[bytes], bytes] = bytes) -> bytes:
    """A right file, cut, overwritten, swollen or spliced with another one, up to four times."""
    data = draw(originals)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        what = draw(st.sampled_from(["overwrite", "number", "cut", "delete", "insert", "repeat", "splice"]))
        if what == "overwrite":
            patch = draw(st.binary(min_size=1, max_size=8))
            data = data[:at] + patch + data[at + len(patch) :]
        elif what == "number":
            packing = draw(st.sampled_from(["<H", ">H", "<I", ">I"]))
            largest = 2 ** (8 * struct.calcsize(packing)) - 1
            patch = struct.pack(packing, draw(st.sampled_from([0, 1, largest, largest // 2, largest // 2 + 1])))
            data = data[:at] + patch + data[at + len(patch) :]
        elif what == "cut":
            data = data[:at]
        elif what == "delete":
            data = data[:at] + data[at + draw(st.integers(1, 64)) :]
        elif what == "insert":
            data = data[:at] + draw(st.binary(max_size=64)) + data[at:]
        elif what == "repeat":
            data = data[:at] + data[at : at + 64] * draw(st.integers(2, 40)) + data[at + 64 :]
        else:
            other = draw(originals)
            data = data[:at] + other[draw(st.integers(0, len(other))) :]
    return mend(data) if draw(st.booleans()) else data


def mend_png(data: bytes) -> bytes:
    """A PNG's checksums made right again, so that what was changed is read and not only noticed."""
    out, at = data[:8], 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        if at + 12 + size > len(data):
            break
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + size
    return out + data[at:]


@st.composite
def changed(draw, tree) -> object:
    """A JSON tree in which up to four of its parts are another value, have another name, or are gone."""
    for _ in range(draw(st.integers(0, 4))):
        tree = _change(draw, tree)
    return tree


def _change(draw, tree):
    if isinstance(tree, dict) and tree and draw(st.integers(0, 7)):
        key = draw(st.sampled_from(sorted(tree, key=repr)))
        what = draw(st.integers(0, 5))
        rest = {name: value for name, value in tree.items() if name != key}
        if what == 0:
            return rest
        if what == 1:
            return rest | {draw(TEXTS): tree[key]}
        return tree | {key: _change(draw, tree[key])}
    if isinstance(tree, list) and tree and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(tree) - 1))
        return [*tree[:at], _change(draw, tree[at]), *tree[at + 1 :]]
    return draw(VALUES)

"""Pictures and captions of every kind that a data set may hold, rightly or not."""

import functools
import io
import pickle
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

SIZE = (48, 32)
RED = (220, 30, 40)
WHITE = (255, 255, 255)


def encode(image: Image.Image, kind: str = "png", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def plain(mode: str = "RGB", colour=RED) -> Image.Image:
    return Image.new(mode, SIZE, colour)


def noise(mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of any header, also of one that lies."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


def _palette(transparent: bool) -> bytes:
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 255, *RED])
    return encode(image, transparency=1) if transparent else encode(image)


def _animation(kind: str) -> bytes:
    frames = [plain(colour=colour) for colour in (RED, (0, 0, 255), (0, 255, 0))]
    options = {"lossless": True} if kind == "webp" else {}
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=100, **options)


def _turned() -> bytes:
    """Red above, blue below once it is upright; stored lying on its side."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, :24], pixels[:, 24:] = (0, 0, 255), RED
    exif = Image.Exif()
    exif[0x0112] = 8
    return encode(Image.fromarray(pixels), "jpeg", exif=exif, quality=95)


def _sixteen_bits_of_colour() -> bytes:
    row = b"\0" + struct.pack(">HHH", *(257 * level for level in RED)) * SIZE[0]
    return png(*SIZE, 16, 2, row * SIZE[1])


def _sixteen_bits_transparent() -> bytes:
    row = b"\0" + struct.pack(">H", 1000) * SIZE[0]
    return png(*SIZE, 16, 0, row * SIZE[1], (b"tRNS", struct.pack(">H", 1000)))


def _without_adobe(data: bytes) -> bytes:
    """A JPEG without its Adobe marker, such as other programs write."""
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


# The file, and the colour of its middle.
USABLE: dict[str, tuple[Callable[[], bytes], tuple[int, int, int]]] = {
    "png": (lambda: encode(plain()), RED),
    "jpeg": (lambda: encode(plain(), "jpeg", quality=95), RED),
    "progressive jpeg": (lambda: encode(plain(), "jpeg", quality=95, progressive=True), RED),
    "webp": (lambda: encode(plain(), "webp", lossless=True), RED),
    "bmp": (lambda: encode(plain(), "bmp"), RED),
    "grey": (lambda: encode(plain("L", 77)), (77, 77, 77)),
    "one bit": (lambda: encode(plain("1", 1)), WHITE),
    "opaque": (lambda: encode(plain("RGBA", (*RED, 255))), RED),
    "transparent": (lambda: encode(plain("RGBA", (*RED, 0))), WHITE),
    "half transparent": (lambda: encode(plain("RGBA", (255, 0, 0, 128))), (255, 127, 127)),
    "grey with alpha": (lambda: encode(plain("LA", (77, 0))), WHITE),
    "palette": (lambda: _palette(False), RED),
    "palette, transparent": (lambda: _palette(True), WHITE),
    "colour made transparent": (lambda: encode(plain(), transparency=RED), WHITE),
    "16 bits of grey": (lambda: encode(Image.fromarray(np.full((32, 48), 77 * 257, np.uint16))), (77, 77, 77)),
    "16 bits of colour": (_sixteen_bits_of_colour, RED),
    "16 bits, transparent": (_sixteen_bits_transparent, WHITE),
    "cmyk as adobe writes it": (lambda: encode(plain("CMYK", (0, 255, 255, 0)), "jpeg", quality=95), (255, 0, 0)),
    "cmyk without the marker": (
        lambda: _without_adobe(encode(plain("CMYK", (0, 255, 255, 0)), "jpeg", quality=95)),
        (255, 0, 0),
    ),
    "animated gif": (lambda: _animation("gif"), RED),
    "animated png": (lambda: _animation("png"), RED),
    "animated webp": (lambda: _animation("webp"), RED),
}
TURNED = _turned


def _gif_bomb() -> bytes:
    """A small canvas, and a first frame of 3.6 billion pixels."""
    data = bytearray(encode(plain("P", 0), "gif"))
    at = data.index(b"\x2c")
    data[at + 5 : at + 9] = struct.pack("<HH", 60_000, 60_000)
    return bytes(data)


def _webp_bomb() -> bytes:
    """An animation of 16384 x 16384 pixels, with a frame of few bytes."""
    still = encode(Image.new("RGB", (4, 4)), "webp", lossless=True)[12:]
    side = (16383).to_bytes(3, "little")
    frame = bytes(6) + (3).to_bytes(3, "little") * 2 + bytes(4) + still
    parts = [(b"VP8X", b"\2\0\0\0" + side * 2), (b"ANIM", bytes(6)), (b"ANMF", frame)]
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(part)) + part for name, part in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _truncated(kind: str) -> bytes:
    data = encode(noise(), kind)
    return data[: len(data) // 2]


class Attack:
    """What an unpickler would run."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


# No picture can be had of these.
DAMAGED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"<html>404 not found</html>",
    "pickle": lambda: pickle.dumps(Attack("pickle-was-run")),
    "truncated png": lambda: _truncated("png"),
    "truncated jpeg": lambda: _truncated("jpeg"),
    "truncated gif": lambda: _truncated("gif"),
    "truncated webp": lambda: _truncated("webp"),
    "truncated bmp": lambda: _truncated("bmp"),
    "only the header": lambda: encode(noise())[:33],
    "no pixels": lambda: png(0, 0, 8, 2, b""),
    "tiff": lambda: encode(plain(), "tiff"),
    "tiff of floats": lambda: encode(Image.fromarray(np.full((32, 48), 0.5, np.float32)), "tiff"),
    "eps": lambda: encode(plain(), "eps"),
    "pdf": lambda: encode(plain(), "pdf"),
    "psd header": lambda: b"8BPS\0\1" + bytes(40),
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "png bomb": lambda: png(30_000, 30_000, 8, 2, bytes(1000)),
    "wide png bomb": lambda: png(2**31 - 1, 1, 1, 0, b""),
    "gif bomb": _gif_bomb,
    "webp bomb": _webp_bomb,
    "text bomb": lambda: png(8, 8, 8, 2, bytes(200), (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27)))),
}

# Captions as stored, and as used.
CAPTIONS: dict[str, tuple[bytes, str]] = {
    "plain": (b"a red panda", "a red panda"),
    "lines": (b"  a\tred\r\n\npanda \x0b", "a red panda"),
    "controls": (b"a \x00red\x07 \x1b[31mpanda", "a red [31mpanda"),
    "directions": ("a \u202ered\u202c panda\ufeff".encode(), "a red panda"),
    "utf-16 read as utf-8": (b"r\0e\0d\0", "red"),
    "joined emoji": ("\U0001f469\u200d\U0001f680 in space".encode(), "\U0001f469\u200d\U0001f680 in space"),
    "megabytes": (b"a red panda " * 400_000, ("a red panda " * 6000)[: 16 * 4096].strip()),
}
NO_CAPTIONS: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \t\r\n\xc2\xa0\xe3\x80\x80",
    "not utf-8": b"a caf\xe9",
    "controls alone": b"\x00\x01\x02\x03" * 10,
    "mostly controls": bytes(range(32)) * 3 + b"panda",
}


@functools.cache
def usable(name: str) -> bytes:
    return USABLE[name][0]()


@functools.cache
def damaged(name: str) -> bytes:
    return DAMAGED[name]()

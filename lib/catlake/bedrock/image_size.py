"""The tokens of an image, by the width and height in its file's header."""

import base64
import binascii
import math
import struct

LONGEST_SIDE = 1_568
MOST_TOKENS = 1_600
UNKNOWN_SIZE_TOKENS = 1_500
"""Of an image without a readable header: about as many as a photograph or a screenshot has."""

# A header is near the file's start, except in a photograph with a long preview before it.
_FIRST_CHARACTERS = 65_536


def image_tokens(body: object) -> int | None:
    """Tokens of an image in base64, by Anthropic's formula; None when its size cannot be read."""
    if not isinstance(body, str):
        return None
    for text in (body[:_FIRST_CHARACTERS], body) if len(body) > _FIRST_CHARACTERS else (body,):
        try:
            size = image_size(base64.b64decode(text[: len(text) // 4 * 4]))
        except (binascii.Error, ValueError):
            return None
        if size is not None:
            return size_tokens(*size)
    return None


def size_tokens(width: int, height: int) -> int:
    """Width x height / 750, after scaling down to 1,568 pixels at the longer side; at most 1,600."""
    scale = min(1.0, LONGEST_SIDE / max(width, height, 1))
    return min(math.ceil(width * scale * height * scale / 750), MOST_TOKENS)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG, GIF, WebP or JPEG; None for other files or an incomplete header."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack(">II", data[16:24])
        if data.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack("<HH", data[6:10])
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
    except (struct.error, IndexError):
        pass
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack("<HH", data[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack("<I", data[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            (width, _), (height,) = struct.unpack("<HB", data[24:27]), struct.unpack("<I", data[27:30] + b"\0")
            return (width | data[26] << 16) + 1, height + 1
    return None


def _jpeg(data: bytes) -> tuple[int, int]:
    position = 2
    while True:
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        (length,) = struct.unpack(">H", data[position + 1 : position + 3])
        # SOF0 to SOF15; C4, C8 and CC are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[position + 4 : position + 8])
            return width, height
        position += 1 + length

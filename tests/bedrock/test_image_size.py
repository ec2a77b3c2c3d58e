"""What images cost, by the size in their headers."""

import base64
import struct

import pytest

from catlake.bedrock.image_size import image_size, image_tokens, size_tokens

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 800, 600) + b"\x08\x02"
GIF = b"GIF89a" + struct.pack("<HH", 800, 600)
EXIF = b"\xff\xe1" + struct.pack(">H", 60_002) + b"x" * 60_000
FRAME = b"\xff\xc2" + struct.pack(">HBHH", 17, 8, 600, 800)
JPEG = b"\xff\xd8" + b"\xff\xc4" + struct.pack(">H", 4) + b"xx" + b"\xff" + FRAME
LOSSY = b"RIFF....WEBPVP8 ...." + b"\0" * 3 + b"\x9d\x01\x2a" + struct.pack("<HH", 800, 600)
LOSSLESS = b"RIFF....WEBPVP8L....\x2f" + struct.pack("<I", 799 | 599 << 14)
EXTENDED = b"RIFF....WEBPVP8X....\0\0\0\0" + (799).to_bytes(3, "little") + (599).to_bytes(3, "little")


@pytest.mark.parametrize(
    "data", [PNG, GIF, JPEG, LOSSY, LOSSLESS, EXTENDED], ids=["png", "gif", "jpeg", "lossy", "vp8l", "vp8x"]
)
def test_a_size_is_read_from_each_kind_of_header(data: bytes) -> None:
    assert image_size(data) == (800, 600)
    assert image_tokens(base64.b64encode(data).decode()) == 640
    assert image_size(data[:-6]) is None


def test_a_header_behind_a_long_preview_is_found() -> None:
    data = b"\xff\xd8" + EXIF * 2 + FRAME + b"x" * 20
    assert image_tokens(base64.b64encode(data).decode()) == 640


@pytest.mark.parametrize("body", [None, 7, "", "iVBORw0KGgo", "not base64 at all!", "AAAA"], ids=repr)
def test_what_has_no_header_has_no_size(body: object) -> None:
    assert image_tokens(body) is None


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((64, 64), 6),
        ((1_000, 750), 1_000),
        # Scaled down to 1,568 x 392.
        ((6_272, 1_568), 820),
        ((4_000, 3_000), 1_600),
        ((1, 1), 1),
    ],
)
def test_tokens_are_the_area_after_scaling_and_never_more_than_the_most(size: tuple[int, int], tokens: int) -> None:
    assert size_tokens(*size) == tokens

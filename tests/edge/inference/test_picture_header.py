"""Headers are judged strictly and cheaply, before anything decodes."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge.errors import RejectedInput
from edge.frame import MAX_PIXELS
from edge.inference.jpeg_structure import MAX_PROGRESSIVE_SCANS
from edge.inference.picture_header import Header, PictureLimits, clean_png, read_header
from tests.stand.worst_cases import Case, bound_ms, cost_of

LIMITS = PictureLimits()


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A 64x48 picture with structure, as PIL writes it."""
    ramp = np.add.outer(np.arange(48), np.arange(64) * 3).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp, ramp.T.reshape(48, 64), 255 - ramp], axis=-1)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, interlace: int = 0, more: bytes = b""
) -> bytes:
    """A PNG made by hand, so that it may lie."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """A real small JPEG whose frame header claims another size."""
    encoded = bytearray(saved("JPEG"))
    at = encoded.index(b"\xff\xc0") + 5
    encoded[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(encoded)


def with_scans(encoded: bytes, count: int, fill: bytes = b"") -> bytes:
    """A JPEG whose last scan comes so often, each with some fill bytes before its marker."""
    at = encoded.rindex(b"\xff\xda")
    return encoded[:at] + (fill + encoded[at:-2]) * count + encoded[-2:]


def reason_of(encoded: bytes, limits: PictureLimits = LIMITS) -> str:
    """The reason with which a picture is refused."""
    with pytest.raises(RejectedInput) as caught:
        clean_png(encoded, read_header(encoded, limits))
    return caught.value.reason


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_headers_are_read(mode: str, channels: int, progressive: bool) -> None:  # noqa: FBT001 - a parametrised case
    """Baseline and progressive JPEG, grey and colour, give their size and channels."""
    assert read_header(saved("JPEG", mode, progressive=progressive), LIMITS) == Header("jpeg", 64, 48, channels)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 4), ("LA", 2), ("P", 1), ("1", 1)])
def test_png_headers_are_read(mode: str, channels: int) -> None:
    """Every non-interlaced PNG of at most 8 bits gives its size and channels, and passes the full check."""
    encoded = saved("PNG", mode)
    header = read_header(encoded, LIMITS)
    assert header == Header("png", 64, 48, channels)
    assert clean_png(encoded, header).endswith(b"IEND\xaeB`\x82")


def test_size_bombs_are_refused_in_a_millisecond() -> None:
    """A small file that claims 32000x32000 is refused by its header alone, JPEG and PNG."""
    for bomb in (jpeg_claiming(32_000, 32_000), png(20_000, 20_000, zlib.compress(bytes(1000)))):
        start = time.process_time()
        assert reason_of(bomb) == "oversize_pixels"
        assert time.process_time() - start < 0.05


def test_limits_are_inclusive() -> None:
    """A picture exactly at a limit is accepted, one above it is refused."""
    encoded = saved("JPEG")
    read_header(encoded, PictureLimits(max_bytes=len(encoded), max_pixels=64 * 48))
    assert reason_of(encoded, PictureLimits(max_bytes=len(encoded) - 1)) == "oversize_bytes"
    assert reason_of(encoded, PictureLimits(max_pixels=64 * 48 - 1)) == "oversize_pixels"


@pytest.mark.parametrize(
    "encoded", [b"", b"\xff\xd8", b"GIF89a" + bytes(50), b"RIFF\0\0\0\0WEBP", b'{"not": "a picture"}']
)
def test_other_formats_are_not_images(encoded: bytes) -> None:
    """Only the magic bytes of JPEG and PNG open the door."""
    assert reason_of(encoded) == "not_an_image"


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(saved("JPEG", "CMYK"), id="cmyk-jpeg"),
        pytest.param(saved("JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1), id="lossless-jpeg"),
        pytest.param(saved("JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1), id="arithmetic-jpeg"),
        pytest.param(saved("JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c", 1), id="12-bit-jpeg"),
        pytest.param(with_scans(saved("JPEG", progressive=True), 100), id="scan-bomb-jpeg"),
        pytest.param(with_scans(saved("JPEG", progressive=True), 100, fill=b"\xff"), id="filled-scan-bomb-jpeg"),
        pytest.param(with_scans(saved("JPEG"), 100), id="baseline-scan-bomb-jpeg"),
        pytest.param(saved("JPEG")[:-2] + b"\xff\xfe\x00\x02" * 5000 + b"\xff\xd9", id="segments-after-the-scan"),
        pytest.param(png(4, 4, b"", depth=16), id="16-bit-png"),
        pytest.param(png(4, 4, b"", interlace=1), id="interlaced-png"),
    ],
)
def test_unsupported_kinds_say_so(encoded: bytes) -> None:
    """What we choose not to decode is refused as such, not as damage."""
    assert reason_of(encoded) == "unsupported"


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(jpeg_claiming(0, 48), id="no-width"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x01", id="segment-shorter-than-its-length"),
        pytest.param(b"\xff\xd8\xff\xe0\xff\xff" + bytes(10), id="segment-beyond-the-end"),
        pytest.param(b"\xff\xd8\xff\xda\x00\x08" + bytes(20), id="scan-before-frame"),
        pytest.param(b"\xff\xd8\xff" + b"\xff" * 5000, id="only-fill-bytes"),
        pytest.param(png(4, 4, b"", colour=5), id="no-such-colour-type"),
        pytest.param(png(0, 4, zlib.compress(b"")), id="png-no-width"),
        pytest.param(png(4, 4, zlib.compress(bytes(51))), id="too-few-pixels"),
        pytest.param(png(4, 4, zlib.compress(bytes(53))), id="too-many-pixels"),
        pytest.param(png(4, 4, zlib.compress(bytes(52))[:-3]), id="unfinished-stream"),
        pytest.param(png(4, 4, b"not zlib"), id="not-zlib"),
        pytest.param(saved("PNG")[:-12], id="no-end-chunk"),
        pytest.param(saved("PNG")[:20], id="half-a-header"),
    ],
)
def test_damage_is_refused(encoded: bytes) -> None:
    """A header or chunk that contradicts itself is damage."""
    assert reason_of(encoded) == "damaged"


def test_inflate_bomb_is_cut_off() -> None:
    """Pixel data that inflates to 200 MB is refused after the few bytes that the header implies."""
    deflater = zlib.compressobj(1)
    pixels = b"".join(deflater.compress(bytes(1_000_000)) for _ in range(200)) + deflater.flush()
    bomb = png(10, 10, pixels)
    start = time.process_time()
    assert reason_of(bomb) == "damaged"
    assert time.process_time() - start < 0.1  # to its end it would take 0.5 s


def test_only_picture_chunks_reach_the_decoder() -> None:
    """Text, profiles and animation are checked but left out."""
    encoded = png(4, 4, zlib.compress(bytes(52)), more=chunk(b"zTXt", b"k\0\0" + bytes(99)) + chunk(b"acTL", bytes(8)))
    kept = clean_png(encoded, read_header(encoded, LIMITS))
    assert kept == png(4, 4, zlib.compress(bytes(52)))


def test_every_bit_flip_in_a_png_is_seen() -> None:
    """PNG carries checksums, so no single flipped bit may pass as a good frame."""
    encoded = saved("PNG")
    for index in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[index] ^= 1 << (index % 8)
        with pytest.raises(RejectedInput):
            clean_png(bytes(flipped), read_header(bytes(flipped), LIMITS))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: saved("JPEG")[:30] + tail)))
def test_random_bytes_never_surprise(encoded: bytes) -> None:
    """Any bytes at all either give a header within the limits or a RejectedInput, nothing else."""
    try:
        header = read_header(encoded, LIMITS)
    except RejectedInput:
        return
    assert 0 < header.width * header.height <= MAX_PIXELS


@given(st.binary(max_size=200), st.integers(8, 60))
def test_random_png_tails_never_surprise(tail: bytes, keep: int) -> None:
    """A PNG with any tail is either whole or refused."""
    encoded = saved("PNG")[:keep] + tail
    with pytest.raises(RejectedInput):
        clean_png(encoded, read_header(encoded, LIMITS))


@pytest.mark.parametrize("place", [2, None], ids=["before the frame header", "after it"])
@pytest.mark.parametrize(("segments", "refused"), [(900, False), (1_100, True)])
def test_a_jpeg_of_more_segments_than_any_picture_has_is_refused(
    place: int | None, segments: int, *, refused: bool
) -> None:
    """The decoder walks them all: two million empty ones cost seconds."""
    encoded = saved("JPEG")
    at = encoded.index(b"\xff\xda") if place is None else place
    padded = encoded[:at] + b"\xff\xfe\x00\x02" * segments + encoded[at:]
    if refused:
        assert reason_of(padded) == "unsupported"
    else:
        assert read_header(padded, LIMITS) == Header("jpeg", 64, 48, 3)


def test_fill_bytes_before_a_marker_are_free() -> None:
    """The standard allows any number of them, and one step passes over them all."""
    encoded = saved("JPEG")
    at = encoded.index(b"\xff\xdb")
    padded = encoded[:at] + b"\xff" * 1_000_000 + encoded[at:]
    assert read_header(padded, LIMITS) == Header("jpeg", 64, 48, 3)


@pytest.mark.parametrize(("chunks", "refused"), [(4_000, False), (4_100, True)])
def test_a_png_of_more_chunks_than_any_picture_has_is_refused(chunks: int, *, refused: bool) -> None:
    """Each chunk costs a microsecond whatever it holds."""
    many = png(10, 1, zlib.compress(bytes(31)), more=chunk(b"tEXt", b"") * chunks)
    if refused:
        assert reason_of(many) == "unsupported"
    else:
        assert len(clean_png(many, read_header(many, LIMITS))) < 200


def test_scans_of_other_pictures_do_not_count() -> None:
    """Progressive thumbnails inside segments and whole pictures behind the end are no scans of this picture."""
    whole, small = saved("JPEG", progressive=True), saved("JPEG", progressive=True)
    thumbnail = b"Exif\0\0" + small
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    encoded = whole[:2] + segment * 3 + whole[2:] + small * 3
    assert encoded.count(b"\xff\xda") > MAX_PROGRESSIVE_SCANS
    header = read_header(encoded, LIMITS)
    assert (header, header.scans) == (Header("jpeg", 64, 48, 3), whole.count(b"\xff\xda"))


@pytest.mark.parametrize("filling", [b"\xff\x00", b"\xff\xd0", b"\xff", b"\x00", b"\xff\xda", b"\xff\xfe\x00\x02"])
def test_whatever_fills_a_jpeg_is_walked_in_little_time(filling: bytes) -> None:
    """8 MB of one pattern in the place of the data costs the walk a fraction of a frame's budget."""
    encoded = saved("JPEG")
    encoded = encoded[:-2] + filling * (7_900_000 // len(filling)) + encoded[-2:]

    def read(sent: bytes) -> None:
        with contextlib.suppress(RejectedInput):
            read_header(sent, LIMITS)

    assert cost_of(Case("picture", "filled", lambda: encoded, read)).cpu_ms < bound_ms()


def test_a_placeholder_is_refused_where_a_site_wants_views() -> None:
    """1x1 px, or a line, shows nothing: the shorter side counts."""
    for width, height in ((1, 1), (15, 640), (640, 15)):
        assert reason_of(jpeg_claiming(width, height), PictureLimits(min_side_px=16)) == "undersize_pixels"
    assert read_header(jpeg_claiming(16, 16), PictureLimits(min_side_px=16)).width == 16

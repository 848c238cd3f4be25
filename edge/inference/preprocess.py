"""Decodes a picture into exactly the tensor that the bundle needs, or rejects it with a reason.

The only module that knows cv2 and simplejpeg. The toolchain calibrates and verifies through the same functions, so that what was verified
is what runs. EXIF orientation is ignored on purpose: a fixed camera has one orientation, and the training side ignores it too.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.frame import MAX_PIXELS
from edge.inference.decode_cost import MEASURED_SIDE_PX, dct_reduction, measure_slowness, refuse_costly
from edge.inference.jpeg_structure import without_padding
from edge.inference.picture_header import CALIBRATION, Header, PictureLimits, clean_png, read_header
from edge.manifest import InputSpec
from edge.region import WHOLE, Region

__all__ = ["CALIBRATION", "PictureLimits", "Preprocessor", "crop_png", "decode_rgb", "encode_jpeg", "machine_slowness"]

# A second wall behind read_header: OpenCV reads this once, at import. Without it a 15 KB file can cost 19 s and 5 GB.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_PIXELS))
import cv2  # here and not above: the limit above must be in the environment first

BLOCK_PX = 6  # of the graph's input: most of a side of a block whose mean is compared from frame to frame
_SUBPIXEL_BITS = 4  # of a polygon's corners
_SUBPIXELS = 1 << _SUBPIXEL_BITS

cv2.setNumThreads(1)  # the inference worker owns one core; OpenCV's pool would fight ONNX Runtime for the others


class Preprocessor:
    """Encoded pictures to tensors of one input specification; holds no state between calls, so threads may share it.

    Args:
        spec: size and resize rule of the graph's input.
        limits: what is refused before decoding.
        regions: what is cut out of each picture; it is decoded so large that the smallest of them still fills the graph's input, if it can.
    """

    def __init__(
        self,
        spec: InputSpec,
        limits: PictureLimits = PictureLimits(),  # noqa: B008 - frozen, safe to share
        regions: Sequence[Region] = (WHOLE,),
    ) -> None:
        self.spec = spec
        self.limits = limits
        self.regions = tuple(regions)
        self.least = least_size(spec, self.regions)
        gridded = [region for region in self.regions if region.grid is not None]
        self._blocks_down, self._blocks_across = (
            side / BLOCK_PX for side in least_size(spec, gridded)
        )  # in all of a picture, so that the smallest tile has as many as the graph's input

    def prepare(self, encoded: bytes, region: Region = WHOLE) -> NDArray[np.uint8]:
        """JPEG or PNG bytes to a tensor uint8 [1, height, width, 3] of the picture or a region of it, RGB, owned by the caller.

        Raises:
            RejectedInput: ``oversize_bytes``, ``oversize_pixels``, ``undersize_pixels``, ``not_an_image``, ``damaged`` or ``unsupported``.
        """
        return self.fit(self.decode(encoded)[0], region)

    def decode(self, encoded: bytes) -> tuple[NDArray[np.uint8], Header]:
        """JPEG or PNG bytes to a picture uint8 [height, width, 3], RGB, as large as `fit` needs it; and the header of the picture.

        Raises:
            RejectedInput: as `prepare`.
        """
        header = read_header(encoded, self.limits)
        refuse_costly(header, dct_reduction(header, *self.least), self.limits)
        return _decode(encoded, header, self.least), header

    def fit(self, rgb: NDArray[np.uint8], region: Region = WHOLE) -> NDArray[np.uint8]:
        """A decoded picture uint8 [any height, any width, 3], or a region of it, to the tensor uint8 [1, height, width, 3].

        Bicubic to twice the size, then the mean of 2 x 2: OpenCV has SIMD code for both. On photographs the mean difference from the
        antialiased bicubic filter that the checkpoints were trained with is 0.3 to 0.6 of 255, DCT scaling included. INTER_AREA alone
        differs as much and takes twice the time; INTER_LINEAR takes half the time and differs by 0.3 to 0.8.
        """
        height, width = self.spec.height, self.spec.width
        rgb = crop_of(rgb, region)
        if self.spec.resize == "centre_crop":
            rgb = _centre_crop(rgb, height, width)
        if self.regions != (WHOLE,):
            rgb = _halved(rgb, height, width)
        # Bicubic sampling looks at 4 x 4 pixels: what is far larger must be averaged first.
        bounded = (min(4 * width, rgb.shape[1]), min(4 * height, rgb.shape[0]))
        rgb = _resize(rgb, bounded, cv2.INTER_AREA)
        rgb = _resize(rgb, (2 * width, 2 * height), cv2.INTER_CUBIC)
        rgb = _resize(rgb, (width, height), cv2.INTER_AREA)
        return np.ascontiguousarray(rgb)[np.newaxis]

    def blocks(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The means of a decoded picture's blocks, uint8 [rows, columns, 3], by which tiles are compared from frame to frame."""
        height, width, _ = rgb.shape
        halvings = max(0, int(math.log2(max(1.0, min(width / self._blocks_across, height / self._blocks_down)))))
        below, beside = -height % (1 << halvings), -width % (1 << halvings)
        if below or beside:
            rgb = np.asarray(cv2.copyMakeBorder(rgb, 0, below, 0, beside, cv2.BORDER_REPLICATE), np.uint8)
        for _ in range(halvings):
            rgb = _resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), cv2.INTER_AREA)  # SIMD, unlike one step of all
        return rgb

    def shown(self, encoded: bytes, region: Region = WHOLE) -> tuple[float, float, float, float]:
        """The part of a picture that the tensor of a region shows: left, top, width and height as shares of the picture's own.

        Raises:
            RejectedInput: as `prepare`.
        """
        if self.spec.resize == "stretch":
            return region.left, region.top, region.width, region.height
        header = read_header(encoded, self.limits)
        first, upper, right, bottom = region.pixels(header.width, header.height)
        top, left, rows, columns = _middle(bottom - upper, right - first, self.spec.height, self.spec.width)
        return (
            (first + left) / header.width,
            (upper + top) / header.height,
            columns / header.width,
            rows / header.height,
        )

    def preview(self, encoded: bytes, longest_px: int) -> NDArray[np.uint8]:
        """The whole picture for people, uint8 [height, width, 3] RGB: its longer edge is at most ``longest_px``, and it is never enlarged.

        Raises:
            RejectedInput: as `prepare`.
        """
        header = read_header(encoded, self.limits)
        share = min(1.0, longest_px / max(header.width, header.height))
        width, height = (max(1, round(share * edge)) for edge in (header.width, header.height))
        return _resize(_decode(encoded, header, least=(height, width)), (width, height), cv2.INTER_AREA)


def least_size(spec: InputSpec, regions: Sequence[Region]) -> tuple[int, int]:
    """Height and width in px of a picture in which the smallest tile of some regions still fills the graph's input."""
    tiles = [tile for region in regions for tile in region.tiles]
    height = min((tile.height for tile in tiles), default=1.0)
    width = min((tile.width for tile in tiles), default=1.0)
    return math.ceil(spec.height / height), math.ceil(spec.width / width)


def crop_of(rgb: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """A region of a picture uint8 [height, width, 3]; what lies outside its polygon is filled. The picture stays as it was."""
    if region.is_whole:
        return rgb
    height, width, _ = rgb.shape
    left, top, right, bottom = region.pixels(width, height)
    crop = rgb[top:bottom, left:right]
    if not region.polygon:
        return crop
    inside = _inside(region, width, height)
    filling = cv2.mean(crop, mask=inside)[:3] if region.fill is None else (region.fill,) * 3
    filled = np.empty(crop.shape, np.uint8)
    cv2.rectangle(
        filled, (0, 0), (right - left, bottom - top), filling, cv2.FILLED
    )  # numpy's assignment takes 200 times as long
    cv2.copyTo(crop, inside, filled)
    return filled


def _inside(region: Region, width: int, height: int) -> NDArray[np.uint8]:
    """255 where a pixel of the region's box lies inside its polygon, uint8 [rows, columns], in a picture of ``width`` x ``height``."""
    left, top, right, bottom = region.pixels(width, height)
    inside: NDArray[np.uint8] = np.zeros((bottom - top, right - left), np.uint8)
    corners = np.array([(x * width - left - 0.5, y * height - top - 0.5) for x, y in region.polygon])
    cv2.fillPoly(inside, [np.round(corners * _SUBPIXELS).astype(np.int32)], 255, shift=_SUBPIXEL_BITS)
    return inside


def decode_rgb(encoded: bytes, limits: PictureLimits = PictureLimits()) -> NDArray[np.uint8]:  # noqa: B008 - frozen, safe to share
    """JPEG or PNG bytes at full size: uint8 [height, width, 3], RGB; grey is repeated, alpha is dropped.

    Raises:
        RejectedInput: as `Preprocessor.prepare`.
    """
    return _decode(encoded, read_header(encoded, limits), least=None)


def crop_png(encoded: bytes, region: Region) -> bytes:
    """A region of an encoded picture at full size, as PNG: what a bundle for this region is calibrated with.

    Raises:
        RejectedInput: as `Preprocessor.prepare`.
    """
    crop = crop_of(decode_rgb(encoded, CALIBRATION), region)
    done, png = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
    if not done:
        raise RejectedInput("unsupported", "the region cannot be written as PNG")
    return bytes(png.tobytes())


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """A picture uint8 [height, width, 3] RGB as JPEG with 4:2:0 colour, like most cameras send; ``quality`` 1..100."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=quality, colorspace="RGB", colorsubsampling="420")
    )


def _decode(encoded: bytes, header: Header, least: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Decode strictly to RGB, at no less than ``least`` (height, width) where the picture has that much."""
    return _decode_jpeg(encoded, header, least) if header.kind == "jpeg" else _decode_png(encoded, header)


def _decode_jpeg(encoded: bytes, header: Header, least: tuple[int, int] | None) -> NDArray[np.uint8]:
    reduction = 1 if least is None else dct_reduction(header, *least)
    try:
        return _decode_strictly(encoded, header, reduction)
    except ValueError as error:
        if header.jpeg is not None:
            for bare in without_padding(encoded, header.jpeg, str(error)):
                with contextlib.suppress(ValueError):
                    return _decode_strictly(bare, header, reduction)
        raise RejectedInput("damaged", f"the JPEG does not decode: {error}") from error


def _decode_strictly(encoded: bytes, header: Header, reduction: int) -> NDArray[np.uint8]:
    rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        encoded,
        colorspace="RGB",
        min_height=-(-header.height // reduction),
        min_width=-(-header.width // reduction),
        min_factor=1,
        strict=True,  # the default of most decoders paints over damage and scores a picture that never was
    )
    return rgb


def _decode_png(encoded: bytes, header: Header) -> NDArray[np.uint8]:
    data = np.frombuffer(clean_png(encoded, header), np.uint8)
    try:
        rgb = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise RejectedInput("damaged", f"the PNG does not decode: {error}") from error
    if rgb is None or rgb.shape != (header.height, header.width, 3):
        raise RejectedInput("damaged", "the PNG does not decode")
    return np.asarray(rgb, np.uint8)


def _centre_crop(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The largest middle part with the aspect ratio ``width : height``: cropping first equals scaling first, and is cheaper."""
    top, left, rows, columns = _middle(rgb.shape[0], rgb.shape[1], height, width)
    return rgb[top : top + rows, left : left + columns]


def _middle(rows: int, columns: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Where that part is in a picture of ``rows`` x ``columns``: top, left, rows, columns."""
    keep_rows = min(rows, max(1, round(columns * height / width)))
    keep_columns = min(columns, max(1, round(rows * width / height)))
    return (rows - keep_rows) // 2, (columns - keep_columns) // 2, keep_rows, keep_columns


def _halved(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A picture, halved as often as it keeps ``height`` x ``width``: what scaled decoding does where nothing smaller is cut out of it."""
    while rgb.shape[0] >= 2 * height and rgb.shape[1] >= 2 * width:
        rows, columns = rgb.shape[0] // 2, rgb.shape[1] // 2
        rgb = _resize(rgb[: 2 * rows, : 2 * columns], (columns, rows), cv2.INTER_AREA)
    return rgb


def _resize(rgb: NDArray[np.uint8], size: tuple[int, int], interpolation: int) -> NDArray[np.uint8]:
    if (rgb.shape[1], rgb.shape[0]) == size:
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=interpolation), np.uint8)


def machine_slowness() -> float:
    """How much longer this machine takes to decode than the one that `edge.inference.decode_cost` was measured on."""
    side = MEASURED_SIDE_PX
    grain = np.random.default_rng(0).integers(0, 64, (side, side, 3))
    rgb = (grain + np.arange(side)[None, :, None] // 2).astype(np.uint8)
    found, png = cv2.imencode(".png", rgb)
    samples = [encode_jpeg(rgb, 85), *([png.tobytes()] if found else [])]
    return measure_slowness([(one, read_header(one, CALIBRATION)) for one in samples], decode_rgb)

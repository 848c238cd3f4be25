"""An encoded picture becomes exactly the tensor that the bundle asks for, or is refused with a reason.

The only module that knows cv2 and simplejpeg. The toolchain calibrates and verifies through the same functions, so that what was verified
is what runs. EXIF orientation is ignored on purpose: a fixed camera has one orientation, and the training side ignores it alike.
"""

from __future__ import annotations

import os
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edge.bundle import InputSpec
from edge.errors import RejectedInput
from edge.picture import Header, Limits, clean_png, read_header

__all__ = ["Limits", "Preprocessor", "decode_rgb", "encode_jpeg"]

# A second wall behind read_header: OpenCV reads this once, at import. Without it a 15 KB file can cost 19 s and 5 GB.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
import cv2  # here and not above: the limit above must be in the environment first

cv2.setNumThreads(1)  # the inference worker owns one core; OpenCV's pool would fight ONNX Runtime for the others

_MAX_DCT_REDUCTION: Final = 8


class Preprocessor:
    """Encoded pictures to tensors of one input specification; holds no state between calls, so threads may share it.

    Args:
        spec: size and resize rule of the graph's input.
        limits: what is refused before decoding.
    """

    def __init__(self, spec: InputSpec, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen, safe to share
        self.spec = spec
        self.limits = limits

    def prepare(self, encoded: bytes) -> NDArray[np.uint8]:
        """JPEG or PNG bytes to a tensor uint8 [1, height, width, 3], RGB, owned by the caller.

        Raises:
            RejectedInput: ``oversize_bytes``, ``oversize_pixels``, ``not_an_image``, ``damaged`` or ``unsupported``.
        """
        header = read_header(encoded, self.limits)
        return self.fit(_decode(encoded, header, least=(self.spec.height, self.spec.width)))

    def fit(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A decoded picture uint8 [any height, any width, 3] to the tensor uint8 [1, height, width, 3].

        Bicubic to twice the size, then the mean of 2 x 2: OpenCV has SIMD code for both. On photographs the mean difference from the
        antialiased bicubic filter that the checkpoints were trained with is 0.3 to 0.6 of 255, DCT scaling included. INTER_AREA alone
        differs as much and takes twice the time; INTER_LINEAR takes half the time and differs by 0.3 to 0.8.
        """
        height, width = self.spec.height, self.spec.width
        if self.spec.resize == "centre_crop":
            rgb = _centre_crop(rgb, height, width)
        # Bicubic sampling looks at 4 x 4 pixels: what is far larger must be averaged first.
        bounded = (min(4 * width, rgb.shape[1]), min(4 * height, rgb.shape[0]))
        rgb = _resize(rgb, bounded, cv2.INTER_AREA)
        rgb = _resize(rgb, (2 * width, 2 * height), cv2.INTER_CUBIC)
        rgb = _resize(rgb, (width, height), cv2.INTER_AREA)
        return np.ascontiguousarray(rgb)[np.newaxis]

    def shown(self, encoded: bytes) -> tuple[float, float, float, float]:
        """The part of a picture that its tensor shows: left, top, width and height as shares of the picture's own.

        Raises:
            RejectedInput: as `prepare`.
        """
        if self.spec.resize == "stretch":
            return 0.0, 0.0, 1.0, 1.0
        header = read_header(encoded, self.limits)
        top, left, rows, columns = _middle(header.height, header.width, self.spec.height, self.spec.width)
        return left / header.width, top / header.height, columns / header.width, rows / header.height

    def preview(self, encoded: bytes, longest_px: int) -> NDArray[np.uint8]:
        """The whole picture for people, uint8 [height, width, 3] RGB: its longer edge is at most ``longest_px``, and it is never enlarged.

        Raises:
            RejectedInput: as `prepare`.
        """
        header = read_header(encoded, self.limits)
        share = min(1.0, longest_px / max(header.width, header.height))
        width, height = (max(1, round(share * edge)) for edge in (header.width, header.height))
        return _resize(_decode(encoded, header, least=(height, width)), (width, height), cv2.INTER_AREA)


def decode_rgb(encoded: bytes, limits: Limits = Limits()) -> NDArray[np.uint8]:  # noqa: B008 - frozen, safe to share
    """JPEG or PNG bytes at full size: uint8 [height, width, 3], RGB; grey is repeated, alpha is dropped.

    Raises:
        RejectedInput: as `Preprocessor.prepare`.
    """
    return _decode(encoded, read_header(encoded, limits), least=None)


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 90) -> bytes:
    """A picture uint8 [height, width, 3] RGB as JPEG with 4:2:0 colour, like most cameras send; ``quality`` 1..100."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=quality, colorspace="RGB", colorsubsampling="420")
    )


def _decode(encoded: bytes, header: Header, least: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Decode strictly to RGB, at no less than ``least`` (height, width) where the picture has that much."""
    return _decode_jpeg(encoded, header, least) if header.kind == "jpeg" else _decode_png(encoded, header)


def _decode_jpeg(encoded: bytes, header: Header, least: tuple[int, int] | None) -> NDArray[np.uint8]:
    reduction = 1 if least is None else _dct_reduction(header, *least)
    try:
        rgb: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            encoded,
            colorspace="RGB",
            min_height=-(-header.height // reduction),
            min_width=-(-header.width // reduction),
            min_factor=1,
            strict=True,  # the default of most decoders paints over damage and scores a picture that never was
        )
    except ValueError as error:
        raise RejectedInput("damaged", f"the JPEG does not decode: {error}") from error
    return rgb


def _dct_reduction(header: Header, height: int, width: int) -> int:
    """The largest power of two that keeps at least ``height`` x ``width``.

    The other factors of libjpeg-turbo (3/8, 5/8 ...) have no SIMD code: measured, they cost as much and blur more.
    """
    reduction = 1
    while (
        reduction < _MAX_DCT_REDUCTION
        and header.height >= 2 * reduction * height
        and header.width >= 2 * reduction * width
    ):
        reduction *= 2
    return reduction


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


def _resize(rgb: NDArray[np.uint8], size: tuple[int, int], interpolation: int) -> NDArray[np.uint8]:
    if (rgb.shape[1], rgb.shape[0]) == size:
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=interpolation), np.uint8)

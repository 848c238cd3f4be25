"""What decoding a picture will take, estimated from its header and length before anything decodes: time and memory; and how fast this machine is at it.

The figures are processor time of one core of the reference machine (2 vCPU AMD EPYC, AVX2), rounded up; another machine's slowness is measured at the start.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from edge.errors import RejectedInput
from edge.frame import MAX_PIXELS
from edge.inference.picture_header import Header, PictureLimits

MEASURED_RUNS: Final = 5  # the fastest of so many: what else the machine does is no slowness of its own
MEASURED_SIDE_PX: Final = 256
MAX_DCT_REDUCTION: Final = 8
USUAL_SCANS: Final = 10  # of a progressive JPEG


class Cost(NamedTuple):
    """Processor time in ns on the reference machine, and memory in bytes beside the encoded picture."""

    ns: float
    working_bytes: float


@dataclass(frozen=True, slots=True)
class _Rate:
    """What one kind of picture costs for each source pixel, decoded pixel and encoded byte, ns; and bytes held for each of the pixels."""

    source_ns: float
    decoded_ns: float
    byte_ns: float
    source_bytes: float
    decoded_bytes: float


def _rate(header: Header) -> _Rate:
    if header.kind == "png":  # inflated twice, once to count; then expanded to colour
        packed = header.channels * header.depth / 8
        return _Rate(14.0 + 6.0 * packed, 0.0, 8.5, 6.0, 0.0)
    if header.scans:  # all coefficients are kept until the last scan
        return _Rate(0.7 * header.scans, 12.0, 28.0, 2.0 * header.channels, 3.0)
    return _Rate(0.7, 12.0, 10.0, 0.0, 3.0)


def estimate(header: Header, reduction: int) -> Cost:
    """The cost of a picture whose sides are divided by ``reduction`` while it is decoded."""
    rate, source = _rate(header), header.width * header.height
    decoded = source / reduction**2
    return Cost(
        source * rate.source_ns + decoded * rate.decoded_ns + header.data_bytes * rate.byte_ns,
        source * rate.source_bytes + decoded * rate.decoded_bytes,
    )


def refuse_costly(header: Header, reduction: int, limits: PictureLimits) -> None:
    """Refuse a picture that takes more than its budget leaves, unless the site sets how many pixels it accepts.

    Raises:
        RejectedInput: ``oversize_pixels``, or ``oversize_bytes`` where so many pixels alone would do.
    """
    if limits.max_pixels is not None:
        return
    cost = estimate(header, reduction)
    cost_ms = cost.ns * limits.slowness / 1e6
    picture = f"{header.kind.upper()} of {header.width}x{header.height} px and {header.data_bytes} bytes of data"
    if cost.working_bytes > limits.max_working_bytes:
        raise RejectedInput(
            "oversize_pixels",
            f"{picture} needs {cost.working_bytes / 1e6:.0f} MB of memory; send fewer pixels, or set max_pixels",
        )
    if cost_ms > limits.allowance_ms:
        bare_ms = estimate(replace(header, data_bytes=0), reduction).ns * limits.slowness / 1e6
        raise RejectedInput(
            "oversize_pixels" if bare_ms > limits.allowance_ms / 2 else "oversize_bytes",
            f"{picture} takes about {cost_ms:.0f} ms to decode here; the budget leaves {limits.allowance_ms:.0f} ms: send less, or set max_pixels",
        )


def largest_pixels(kind: str, limits: PictureLimits, least: tuple[int, int]) -> int:
    """How many pixels a 4:3 picture of a kind (``jpeg``, ``progressive jpeg`` or ``png``) may have, at a usual two or eight bits a pixel.

    Args:
        kind: which.
        limits: of the camera.
        least: height and width that the graph takes, px.
    """
    if limits.max_pixels is not None:
        return limits.max_pixels
    low, high = 1, MAX_PIXELS
    while high - low > 1 + low // 100:
        middle = (low + high) // 2
        low, high = (middle, high) if _affordable(kind, middle, limits, least) else (low, middle)
    return low


def _affordable(kind: str, pixels: int, limits: PictureLimits, least: tuple[int, int]) -> bool:
    width, height = round((pixels * 4 / 3) ** 0.5), round((pixels * 3 / 4) ** 0.5)
    length = pixels if kind == "png" else pixels // 4
    scans = USUAL_SCANS if kind == "progressive jpeg" else 0
    header = Header("png" if kind == "png" else "jpeg", width, height, 3, scans=scans, data_bytes=length)
    try:
        refuse_costly(header, dct_reduction(header, *least), limits)
    except RejectedInput:
        return False
    return length <= limits.max_bytes


def dct_reduction(header: Header, height: int, width: int) -> int:
    """The largest power of two by which a JPEG's sides can be divided that keeps at least ``height`` x ``width``; 1 for a PNG.

    The other factors of libjpeg-turbo (3/8, 5/8 ...) have no SIMD code: measured, they cost as much and blur more.
    """
    reduction = 1
    while (
        header.kind == "jpeg"
        and reduction < MAX_DCT_REDUCTION
        and header.height >= 2 * reduction * height
        and header.width >= 2 * reduction * width
    ):
        reduction *= 2
    return reduction


def measure_slowness(
    samples: list[tuple[bytes, Header]],
    decode: Callable[[bytes], object],
    cpu_ns: Callable[[], int] = time.thread_time_ns,
) -> float:
    """How much longer this machine takes than the reference machine, by the slowest kind of picture; about 20 ms of work.

    Args:
        samples: encoded pictures and their headers.
        decode: decodes one at full size.
        cpu_ns: processor time of this thread.
    """
    ratios = []
    for encoded, header in samples:
        took = []
        for _ in range(MEASURED_RUNS):
            began = cpu_ns()
            decode(encoded)
            took.append(cpu_ns() - began)
        ratios.append(min(took) / estimate(header, 1).ns)
    return float(np.clip(max(ratios), 0.25, 20.0))

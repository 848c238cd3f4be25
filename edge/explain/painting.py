"""Makes the picture beside a sentence in short steps: scale the frame, draw the heat, encode a JPEG that fits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.explain import heatmap
from edge.explain.where import Place, Window
from edge.frame import Frame
from edge.wire.messages import HeatMap

QUALITIES = (85, 70, 50, 30)  # of a JPEG, one after another until it is small enough


class Previews(Protocol):
    """The preprocess stage, as far as a picture for people needs it."""

    def preview(self, encoded: bytes, longest_px: int) -> NDArray[np.uint8]:
        """An encoded picture, whole and small."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be shown: heat 0..1 [grid, grid] of the part of the picture that the graph saw, and its middle."""

    warmth: NDArray[np.float64]
    window: Window
    place: Place


@dataclass(frozen=True, slots=True)
class Painted:
    """A picture that may be published, and its description."""

    jpeg: bytes
    about: HeatMap


class Painter:
    """Makes pictures of the cameras whose pictures may be shown.

    Args:
        cameras: the preprocess stage of each of them.
        encode: a picture and a quality 1..100 to a JPEG.
        longest_px: longest edge.
        max_bytes: a larger JPEG does not go out.
    """

    def __init__(
        self,
        cameras: Mapping[str, Previews],
        encode: Callable[[NDArray[np.uint8], int], bytes],
        longest_px: int,
        max_bytes: int,
    ) -> None:
        self._cameras = cameras
        self._encode = encode
        self._longest_px = longest_px
        self._max_bytes = max_bytes

    def may(self, camera: str) -> bool:
        """Whether pictures of a camera may be shown."""
        return camera in self._cameras

    def paint(self, frame: Frame, found: Found) -> Generator[str, None, Painted | None]:
        """The steps, each named by the yield before it; None: however coarse, the JPEG is larger than it may be."""
        yield "preview"
        picture = self._cameras[frame.camera].preview(frame.encoded, self._longest_px)
        drawn = yield from heatmap.draw(picture, found.warmth, found.window, found.place)
        for quality in QUALITIES:
            yield "encode"
            jpeg = self._encode(drawn, quality)
            if len(jpeg) <= self._max_bytes:
                return Painted(jpeg, _about(jpeg, drawn))
        return None


def _about(jpeg: bytes, drawn: NDArray[np.uint8]) -> HeatMap:
    height, width, _ = drawn.shape
    return HeatMap(size_bytes=len(jpeg), sha256=hashlib.sha256(jpeg).hexdigest(), width=width, height=height)

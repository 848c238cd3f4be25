"""What a source gives: one picture with its time, either as the bytes that came or decoded; and the error when it gives none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from edge.errors import EdgeError
from edge.wire.camera import MAX_DETAIL, CameraTrouble


class SourceFailed(EdgeError):  # noqa: N818 - says what happened
    """A source gives no pictures.

    Args:
        trouble: why, as one of the codes that the alarm knows.
        detail: what was seen, for people; never an address with a password in it.
    """

    def __init__(self, trouble: CameraTrouble, detail: str) -> None:
        super().__init__(f"{trouble.value}: {detail}")
        self.trouble = trouble
        self.detail = detail[:MAX_DETAIL]


class Decoded(Protocol):
    """A picture out of a video decoder, not yet encoded again: dropping it costs nothing more."""

    @property
    def width(self) -> int:
        """Columns, px."""

    @property
    def height(self) -> int:
        """Rows, px."""

    def jpeg(self, quality: int) -> bytes:
        """The picture as JPEG of this quality, 1 to 100."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a camera.

    Attributes:
        content: JPEG or PNG as it came, or a decoded picture that is to be encoded.
        coding: what the camera sent: ``jpeg``, ``png``, ``h264`` ...
        captured_wall_ns: when it was taken as far as is known, ns since the epoch.
    """

    content: bytes | Decoded
    coding: str
    captured_wall_ns: int

    @property
    def transcoded(self) -> bool:
        """Whether the bytes that are published are not those that the camera sent."""
        return not isinstance(self.content, bytes)

    def encoded(self, quality: int) -> bytes:
        """The bytes to publish."""
        return self.content if isinstance(self.content, bytes) else self.content.jpeg(quality)

    def size_px(self) -> tuple[int, int] | None:
        """Width and height; None where the picture was not decoded here."""
        return None if isinstance(self.content, bytes) else (self.content.width, self.content.height)


class Source(Protocol):
    """One way to get pictures; each use opens it again."""

    def shots(self) -> Iterator[Shot | None]:
        """Open it and give pictures until it ends; None: alive, and no new picture yet.

        Raises:
            SourceFailed: it cannot be opened, stalled, or ended.
        """


def picture_coding(encoded: bytes) -> str:
    """``jpeg`` or ``png``, by the first bytes.

    Raises:
        SourceFailed: it is neither.
    """
    for coding, beginning in _BEGINNINGS.items():
        if encoded.startswith(beginning):
            return coding
    raise SourceFailed(CameraTrouble.UNSUPPORTED, f"begins with {encoded[:8].hex()}: neither JPEG nor PNG")


_BEGINNINGS = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n"}

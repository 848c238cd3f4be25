"""`edge-camera probe`: opens an address, looks at what comes for some seconds, and says it as a `[[cameras]]` block for the site file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.camera.address import shown
from edge.camera.shot import Shot, Source, SourceFailed
from edge.site.inputs import CameraSettings
from edge.site.source import SourceSettings
from edge.wire.camera import CameraTrouble

PATIENCE_S = 10.0
HEADROOM = 2  # of max_bytes over the largest picture that was seen


@dataclass(frozen=True, slots=True)
class Finding:
    """What came: `first_s` is the time to the first picture, `fps` None where one picture shows no rate."""

    coding: str
    transcoded: bool
    size_px: tuple[int, int] | None
    pictures: int
    fps: float | None
    first_s: float
    largest_bytes: int


def look(source: Source, quality: int, seconds: float, patience_s: float = PATIENCE_S) -> Finding:
    """Open a source and look at it for so long after its first picture, which is waited for so long.

    Raises:
        SourceFailed: no picture comes.
    """
    began_s = time.monotonic()
    first: tuple[float, Shot] | None = None
    count, largest, last_s = 0, 0, began_s
    for shot in source.shots():
        now_s = time.monotonic()
        if shot is not None:
            first = first or (now_s, shot)
            count, last_s = count + 1, now_s
            largest = max(largest, len(shot.encoded(quality)))
        if first is not None and now_s - first[0] >= seconds:
            break
        if first is None and now_s - began_s >= patience_s:
            break
    if first is None:
        raise SourceFailed(CameraTrouble.STALLED, f"no picture came in {patience_s:g} s")
    at_s, shot = first
    fps = (count - 1) / (last_s - at_s) if count > 1 and last_s > at_s else None
    return Finding(shot.coding, shot.transcoded, shot.size_px(), count, fps, at_s - began_s, largest)


def block(name: str, source: SourceSettings, found: Finding) -> Iterator[str]:
    """The finding as comments, and the camera as the site file wants it."""
    size = "" if found.size_px is None else f", {found.size_px[0]} x {found.size_px[1]}"
    rate = "one picture" if found.fps is None else f"{found.fps:.1f} a second"
    way = "decoded, and encoded again as JPEG" if found.transcoded else "passed on as it comes"
    yield f"# {shown(source.url)}: {found.coding}{size}, {rate}, {way}"
    yield f"# first picture after {found.first_s:.1f} s, largest {found.largest_bytes} bytes"
    yield "[[cameras]]"
    yield f"id = {json.dumps(name)}"
    default_bytes = CameraSettings.model_fields["max_bytes"].default
    if found.largest_bytes * HEADROOM > default_bytes:
        yield f"max_bytes = {found.largest_bytes * HEADROOM}"
    yield ""
    yield "[cameras.source]"
    yield from _keys(source.model_dump(mode="json", exclude_defaults=True))


def _keys(settings: Mapping[str, Any]) -> Iterator[str]:
    for key, value in settings.items():
        yield f"{key} = {json.dumps(value)}"

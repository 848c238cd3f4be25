"""A backtest as one page that opens anywhere: the report, and of each fault the pictures that scored highest."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.inference.preprocess import CALIBRATION, decode_rgb, encode_jpeg
from edge.parsing.page import figure, html_page
from edge.plan import Plan
from edge.replay.recorded import Picture, Recorded
from edge.replay.simulation import Outcome, Seen
from edge.verdict.channel import ChannelSpec
from edge.wire.message import timestamp

MOST = 6  # pictures of each fault
SIDE = 240  # px of a thumbnail at most
QUALITY = 80


def backtest_page(markdown: str, plan: Plan, recorded: Recorded, outcome: Outcome) -> bytes:
    """The page of one bundle's report."""
    sections = "".join(_section(channel, recorded, outcome) for channel in plan.channels if channel.camera is not None)
    more = f"<h2>Pictures with the highest scores</h2>{sections}" if sections else ""
    return html_page(markdown, {}, more)


def highest(channel: ChannelSpec, recorded: Recorded, flags: Sequence[Seen]) -> list[tuple[Seen, Picture]]:
    """The flags with the highest scores, the highest first, each with the picture that it was about."""
    pictures = [picture for picture in recorded.pictures if picture.camera == channel.camera]
    times = [picture.at_ns for picture in pictures]
    found: dict[int, tuple[Seen, Picture]] = {}
    for flag in sorted((flag for flag in flags if flag.score is not None), key=lambda flag: -(flag.score or 0.0)):
        place = bisect_right(times, flag.at_ns) - 1
        if place >= 0:
            found.setdefault(place, (flag, pictures[place]))
        if len(found) == MOST:
            break
    return list(found.values())


def _section(channel: ChannelSpec, recorded: Recorded, outcome: Outcome) -> str:
    figures = "".join(_figures(highest(channel, recorded, outcome.flags.get(channel.id, ()))))
    return f"<h3>{escape(channel.title)}</h3>{figures}" if figures else ""


def _figures(found: Sequence[tuple[Seen, Picture]]) -> Iterator[str]:
    for flag, picture in found:
        try:
            shown = _thumbnail(decode_rgb(picture.path.read_bytes(), CALIBRATION))
        except (OSError, RejectedInput):  # it is gone meanwhile, or of no use to a person
            continue
        yield figure(shown, (f"{flag.score:.3f}, {flag.verdict}", timestamp(flag.at_ns), picture.path.name))


def _thumbnail(frame: NDArray[np.uint8]) -> bytes:
    step = -(-max(frame.shape[:2]) // SIDE)
    return encode_jpeg(frame[::step, ::step], QUALITY)

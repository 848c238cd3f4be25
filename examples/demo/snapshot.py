"""A picture of the run: frames of the line with the flags that the daemon published for them drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from edge.frame import Verdict
from examples.demo.match import Sample
from examples.demo.story import Criteria
from examples.demo.summary import matched
from examples.demo.watch import Watch
from examples.line.textures import Bytes, as_bytes

TILE_WIDTH, TILE_HEIGHT, COLUMNS, MOST_TILES = 480, 360, 3, 9
_RED, _GREEN, _WHITE, _DARK = (200, 40, 40), (30, 130, 70), (255, 255, 255), (28, 30, 34)


def save_snapshot(path: Path, watch: Watch, frames: Mapping[int, bytes], criteria: Criteria) -> int:
    """Write a mosaic, one tile for each injection and good parts for the rest; returns how many tiles it has.

    Args:
        path: .jpg or .png.
        watch: what was seen.
        frames: JPEG bytes by the daemon's frame number, 1 for the first.
        criteria: how flags and injections are matched.

    Raises:
        OSError: the picture cannot be written.
    """
    numbers = _chosen(watch, criteria)
    tiles = [_tile(watch, number, frames[number]) for number in numbers if number in frames]
    if not tiles:
        return 0
    blank = np.full_like(tiles[0], _DARK[0])
    tiles += [blank] * (-len(tiles) % COLUMNS)
    mosaic = np.vstack([np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)])
    if not cv2.imwrite(str(path), cv2.cvtColor(mosaic, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82]):
        raise OSError(f"cannot write {path}: the folder must exist and the name must end in .jpg or .png")
    return len(numbers)


def _chosen(watch: Watch, criteria: Criteria) -> list[int]:
    """Frame numbers: the middle of each injection, hit or missed, and of the first good parts; in the order of the line."""
    fps = watch.line.settings.fps
    injected = matched(watch, criteria).outcomes
    middles = {
        round((o.injection.start_frame + o.injection.end_frame) / 2) + 1
        for o in injected
        if o.injection.end_s <= len(watch.sent) / fps
    }
    good = [round((v.start_frame + v.end_frame) / 2) + 1 for v in watch.line.visits if not v.spec.faults]
    room = max(1, MOST_TILES - len(middles))
    return sorted([*sorted(middles)[: MOST_TILES - 1], *good[:room]])[:MOST_TILES]


def _tile(watch: Watch, number: int, jpeg: bytes) -> Bytes:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    image = cv2.cvtColor(
        cv2.resize(picture, (TILE_WIDTH, TILE_HEIGHT), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB
    )
    t_s = (number - 1) / watch.line.settings.fps
    flagged = [
        (plan.title, sample)
        for plan in watch.channels
        if (sample := _at(watch.samples.get(plan.id, ()), t_s)) is not None and sample.verdict is Verdict.FAULT
    ]
    truth = sorted(watch.line.active(number - 1))
    colour = _RED if flagged else _GREEN
    cv2.rectangle(image, (0, 0), (TILE_WIDTH - 1, TILE_HEIGHT - 1), colour, 6)
    text = ", ".join(title if sample.score is None else f"{title} {sample.score:.2f}" for title, sample in flagged)
    _label(image, (text or "ok").upper(), 0, colour)
    _label(image, f"in truth: {', '.join(truth).replace('_', ' ') or 'good part'}", TILE_HEIGHT - 26, _DARK)
    return as_bytes(image)


def _at(samples: Sequence[Sample], t_s: float) -> Sample | None:
    """The newest sample that is not after a moment."""
    return next((sample for sample in reversed(samples) if sample.t_s <= t_s + 1e-6), None)


def _label(image: Bytes, text: str, top: int, colour: tuple[int, int, int]) -> None:
    cv2.rectangle(image, (0, top), (TILE_WIDTH, top + 26), colour, -1)
    cv2.putText(image, text, (10, top + 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _WHITE, 1, cv2.LINE_AA)

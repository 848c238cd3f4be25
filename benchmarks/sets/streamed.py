"""Recorded readings through Mosquitto into the real daemon, faster than they were measured: their own times decide, moved so that the last is now.

Nothing in the daemon is set to a special mode. A reading is as old as its own time says, so the site only allows that age (`max_age_ms`). Of a backlog
the daemon judges the newest window alone, so the sender waits for each judgement before it goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import open_bundle
from edge.frame import Quality, Reading
from edge.grid import Grid
from edge.manifest import WindowInput
from edge.units import NS_PER_MS, NS_PER_S
from exporters.recordings.cells import MISSED, STALE_NS, grid_of
from exporters.recordings.table import Table
from tests.stand import daemon as rig

TOPIC = "plant/readings"
FLAG = "flag/"
PATIENCE_S = 20.0  # for one judgement

Row = tuple[int, Mapping[str, float]]  # wall ns, and the readings of that time


@dataclass(frozen=True, slots=True)
class Judged:
    """A window that the daemon judged: when its newest reading was measured, how much of it was known by the offline grid, and the flag."""

    at_ns: int
    quality: Quality
    verdict: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Streamed:
    """What came of a recording: a flag for each window, how long it was, and how long the stream took."""

    judged: tuple[Judged, ...]
    recorded_s: float
    took_s: float

    @property
    def times_faster(self) -> float:
        """Than it was recorded."""
        return self.recorded_s / max(self.took_s, 1e-3)


def compare(streamed: Streamed, scores: NDArray[np.float32], flagged: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Windows of which enough is known, verdicts of the daemon that are others than offline, and the largest difference of two scores.

    A window with cells that have no value is no fault offline, and unknown on the device, which then gives no score.

    Args:
        streamed: what the daemon said.
        scores: of the offline judge [n]; NaN: nothing is known.
        flagged: and its verdicts [n].
    """
    known = [one for one in streamed.judged if one.quality.rank < Quality.STALE.rank]
    told = np.array([np.nan if one.score is None else one.score for one in known])
    if len(known) != len(scores):
        return len(known), abs(len(known) - len(scores)), 1.0
    others = sum((one.verdict == "fault") != bool(flag) for one, flag in zip(known, flagged, strict=True))
    whole = np.array([one.quality is Quality.GOOD for one in known])
    others += int((whole & (np.isnan(told) != np.isnan(scores))).sum())
    return len(known), others, float(np.nanmax(np.abs(told - scores), initial=0.0))


def readings_of(table: Table, sensors: Sequence[str]) -> list[Row]:
    """The rows of a file."""
    return [
        (at_ns, {sensor: value for sensor, value in zip(sensors, row, strict=True) if value == value})  # noqa: PLR0124 - not NaN
        for at_ns, row in zip(table.at_ns.tolist(), table.values.tolist(), strict=True)
    ]


def stream(bundle: Path, rows: Sequence[Row]) -> Streamed:
    """Send the readings of a recording, in the order of their time, into a daemon with this bundle of one window and one fault.

    Raises:
        AssertionError: a judgement did not come.
    """
    manifest = open_bundle(bundle).manifest
    (window,), (fault,) = manifest.windows, manifest.faults
    recorded_ns = rows[-1][0] - rows[0][0]
    site = _site(window, fault.id, recorded_ns)
    topic = f"{FLAG}{fault.id}"
    judged: list[Judged] = []
    with rig.bench(bundle.resolve(), site=site) as (broker, _, ear):
        ear.wait(topic, lambda _: True)  # its first word, before any reading
        sender, mark, began = rig.Sender(broker.port), ear.count(), time.monotonic()
        shift_ns = time.time_ns() - rows[-1][0]
        for (at_ns, values), quality in _due(window, rows):
            sender.publish(TOPIC, _payload(at_ns + shift_ns, values))
            if quality is not None:
                flag = _next_flag(ear, topic, mark, len(judged))
                judged.append(Judged(at_ns, quality, flag["verdict"], flag["score"]))
        took_s = time.monotonic() - began
        sender.close()
    return Streamed(tuple(judged), recorded_ns / NS_PER_S, took_s)


def _due(window: WindowInput, rows: Sequence[Row]) -> Iterator[tuple[Row, Quality | None]]:
    """Each row, and how much is known of the window that is judged after it; None: none is."""
    grid = Grid(
        grid_of(
            sensors=window.sensors, period_ms=window.period_ms, length=window.length, step=window.step, aggregate=window.aggregate,
            min_valid=window.min_valid,
        )
    )  # fmt: skip
    for at_ns, values in rows:
        for sensor, value in values.items():
            grid.put(Reading(sensor, value, at_ns))
        end = grid.due()
        quality = None
        if end is not None:
            grid.judged = end
            quality = grid.snapshot(end, at_ns).quality
        yield (at_ns, values), quality


def _next_flag(ear: rig.Ear, topic: str, mark: int, before: int) -> dict[str, Any]:
    """The flag after so many others."""
    rig.wait_for(lambda: len(ear.on(topic, mark)) > before, PATIENCE_S, f"flag {before + 1} on {topic}")
    flag: dict[str, Any] = ear.on(topic, mark)[before].document()
    return flag


def _payload(at_ns: int, values: Mapping[str, float]) -> bytes:
    return json.dumps({"timestamp": at_ns // NS_PER_MS, "values": dict(values)}).encode()


def _site(window: WindowInput, fault: str, recorded_ns: int) -> dict[str, Any]:
    """Its sensors on one topic, as a gateway sends them; silent after as long as a build takes them to be."""
    stale_ms = max(STALE_NS / NS_PER_MS, MISSED * window.period_ms)
    oldest_ms = recorded_ns / NS_PER_MS + 3_600_000.0
    return {
        "cameras": [],
        "sensors": [
            {"id": sensor, "topic": TOPIC, "stale_after_ms": stale_ms, "max_age_ms": oldest_ms}
            for sensor in window.sensors
        ],
        "faults": [{"id": fault, "window": window.name}],
        "runtime": {"allow_other_board": True},
    }

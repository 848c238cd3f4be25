"""Pictures through Mosquitto into the real daemon at camera rate, and back come the flags with their scores and stamps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.bundle import open_bundle
from tests.stand import daemon as rig

WARM_UP = 10  # frames before the first that counts


@dataclass(frozen=True, slots=True)
class Judged:
    """The daemon's answer to one picture: score and verdict of each fault, and the slowest flag's latency, ms."""

    scores: dict[str, float]
    on: dict[str, bool | None]
    latency_ms: float
    met: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of each picture (None: dropped), and the daemon's ledger of the camera at the end."""

    judged: tuple[Judged | None, ...]
    ledger: Any
    realtime: str
    budget_ms: float


def replay(bundle: Path, encoded: Sequence[bytes], fps: float) -> Replay:
    """Send each picture (JPEG or PNG) once, in order, at a steady rate."""
    bundle = bundle.resolve()  # the daemon works in a folder of its own
    manifest = open_bundle(bundle).manifest
    # Its scores are what is asked here: a bundle that a busy machine could not prove is replayed, and the notes say so.
    with rig.bench(bundle, site={"runtime": {"allow_unproven": True}}) as (broker, _, ear):
        sender = rig.Sender(broker.port)
        sender.knock(ear, encoded[0])
        rig.pace(WARM_UP, fps, lambda index: sender.publish(rig.FRAME_TOPIC, encoded[index % len(encoded)]))
        time.sleep(1.0)
        first = ear.heartbeat()["cameras"][rig.CAMERA]["received"] + 1
        mark = ear.count()
        rig.pace(len(encoded), fps, lambda index: sender.publish(rig.FRAME_TOPIC, encoded[index]))
        time.sleep(1.0)
        beat = ear.heartbeat()
        flags: dict[int, list[Any]] = {}
        for heard in ear.on("flag/", mark):
            flag = heard.document()
            if flag["frame_seq"] is not None:
                flags.setdefault(flag["frame_seq"] - first, []).append(flag)
        sender.close()
    return Replay(
        judged=tuple(_judged(flags.get(index), len(manifest.faults)) for index in range(len(encoded))),
        ledger=beat["cameras"][rig.CAMERA],
        realtime=beat["realtime"],
        budget_ms=manifest.target.budget_ms,
    )


def _judged(flags: Sequence[Any] | None, faults: int) -> Judged | None:
    if not flags or len(flags) != faults or any(flag["score"] is None for flag in flags):
        return None
    return Judged(
        scores={flag["ch"]: flag["score"] for flag in flags},
        on={flag["ch"]: flag["on"] for flag in flags},
        latency_ms=max(flag["lat_ms"] for flag in flags),
        met=all(flag["met"] for flag in flags),
    )

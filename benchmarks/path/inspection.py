"""A line of parts with all that goes wrong on one: does every trigger get one answer, and never that of another part?

Run from the repository root: ``python -m benchmarks.path.inspection``. Ten parts a second pass a camera. Some of their pictures are lost or damaged; some
triggers come twice, or after their picture. Each part is red or not at random, so an answer that is another part's is wrong half of the time.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import report
from tests.stand.brokers import Mosquitto
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.daemon import FRAME_TOPIC, STILLS, Daemon, Ear, Sender, site_document

TOPIC = "line3/part"
EVERY_S, EXPOSED_S = 0.1, 0.005  # between two parts; from the trigger to the picture
TRIGGER = {"topic": TOPIC, "pointer": "/sn", "time_pointer": "/t", "after_ms": 60, "timeout_ms": 400}
TARGET = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 50.0}
Kind = Literal["good", "lost", "damaged", "twice", "late"]
KINDS: Mapping[Kind, float] = {"good": 0.8, "lost": 0.05, "damaged": 0.05, "twice": 0.05, "late": 0.05}
PICTURES = {True: flat_jpeg(250, 0, 0), False: flat_jpeg(10, 10, 10)}


@dataclass(frozen=True, slots=True)
class Part:
    """One part, and what happens to it."""

    name: str
    red: bool
    kind: Kind

    @property
    def triggers(self) -> int:
        """How many of it are sent."""
        return 2 if self.kind == "twice" else 1

    @property
    def shown(self) -> bool:
        """Whether a good picture of it is sent."""
        return self.kind not in {"lost", "damaged"}


def main() -> None:
    """Run the line and write results/inspection.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=600, help="how many pass")
    options = parser.parse_args()
    chance = random.Random(1)
    kinds, weights = list(KINDS), list(KINDS.values())
    parts = [
        Part(f"P{number}", chance.random() < 0.5, chance.choices(kinds, weights)[0]) for number in range(options.parts)
    ]
    with tempfile.TemporaryDirectory() as name:
        answers = run_line(Path(name), parts)
    report.write(
        "inspection",
        title="Triggered inspection: ten parts a second, with lost and damaged pictures, repeated and late triggers",
        rows=[row(kind, parts, answers) for kind in kinds],
        notes=[
            f"answers with the verdict of another part: {sum(map(wrong, parts, [answers] * len(parts)))}",
            f"triggers without an answer, or with more than one: {sum(one.triggers != len(answers[one.name]) for one in parts)}",
            "A part whose picture is lost or damaged is a time-out or unknown; one that the daemon had no time for is too.",
        ],
    )


def run_line(folder: Path, parts: list[Part]) -> dict[str, list[dict[str, Any]]]:
    """Send everything at its time; the answers to each part."""
    colour_bundle(folder / "colours", target=TARGET)
    broker = Mosquitto(folder).start()
    document = site_document(folder / "colours", broker.port)
    document["cameras"] = [{"id": "cam1", "picture": STILLS, "trigger": TRIGGER}]
    ear, daemon = Ear(broker.port), Daemon(document, folder).start()
    sender = Sender(broker.port)
    try:
        sender.knock(ear, PICTURES[False])
        begin_s = time.monotonic() + 0.5
        for number, part in enumerate(parts):
            time.sleep(max(0.0, begin_s + number * EVERY_S - time.monotonic()))
            send(sender, part, time.time())
        time.sleep(TRIGGER["timeout_ms"] / 1000 + 2.0)  # type: ignore[operator] # it is a number
        heard = [item.document() for item in ear.on("inspection/cam1")]
    finally:
        sender.close()
        daemon.stop()
        ear.close()
        broker.kill()
    return {part.name: [one for one in heard if one["part"] == part.name] for part in parts}


def send(sender: Sender, part: Part, at_s: float) -> None:
    """A part passes: its trigger, its picture, or what is left of them."""
    trigger = json.dumps({"sn": part.name, "t": round(at_s * 1000)}).encode()
    if part.kind != "late":
        sender.publish(TOPIC, trigger)
    time.sleep(EXPOSED_S)
    picture = PICTURES[part.red]
    if part.kind == "damaged":
        picture = picture[: len(picture) // 2]
    if part.kind != "lost":
        sender.publish(FRAME_TOPIC, picture, captured_wall_ns=round((at_s + EXPOSED_S) * 1e9))
    if part.kind in {"late", "twice"}:
        time.sleep(0.02)
        sender.publish(TOPIC, trigger)


def wrong(part: Part, answers: Mapping[str, list[dict[str, Any]]]) -> bool:
    """Whether a part has a verdict that is not its own: another colour, or any where no picture shows it."""
    verdicts = {one["verdict"] for one in answers[part.name]} - {"unknown"}
    return bool(verdicts) and (not part.shown or verdicts != {"fault" if part.red else "ok"})


def row(kind: Kind, parts: list[Part], answers: Mapping[str, list[dict[str, Any]]]) -> dict[str, object]:
    """One line of the table."""
    mine = [part for part in parts if part.kind == kind]
    found = [one for part in mine for one in answers[part.name]]
    took = [one["lat_ms"] for one in found if one["outcome"] == "judged"]
    return {
        "what happens": kind,
        "parts": len(mine),
        "answers": len(found),
        **{outcome: sum(one["outcome"] == outcome for one in found) for outcome in ("judged", "unknown", "timeout", "duplicate")},
        "another part's verdict": sum(wrong(part, answers) for part in mine),
        "trigger to answer p50 ms": round(report.percentile(took, 50), 1) if took else None,
        "p99 ms": round(report.percentile(took, 99), 1) if took else None,
    }  # fmt: skip


if __name__ == "__main__":
    report.run(main)

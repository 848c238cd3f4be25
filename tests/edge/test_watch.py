"""What a second watch takes over from the first: everything that means the same, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.frame import Quality, Reading, Verdict
from edge.settings import Site
from edge.watch import Memory, Plan, make_plan, remember
from tests.edge.builders import colour_bundle

NS = 1_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The colour bundle."""
    colour_bundle(tmp_path / "colours")
    return tmp_path / "colours"


def plan(folder: Path, **changes: Any) -> Plan:
    """A camera and a sensor that speak for two faults."""
    base: dict[str, Any] = {
        "bundle": folder,
        "node": {"id": "n"},
        "cameras": ({"id": "cam"},),
        "sensors": ({"id": "vibration"},),
        "rules": ({"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 4.0},),
        "faults": ({"id": "red", "camera": "cam"}, {"id": "loose", "rules": ("shaking",)}),
        "runtime": {"allow_other_board": True},
    }
    return make_plan(Site.model_validate(base | changes), open_bundle(folder))


def lived(folder: Path) -> Memory:
    """A memory that saw red and felt shaking."""
    memory = remember(plan(folder))
    memory.channels[0].see(0.9, 1 * NS, late=False)
    memory.rules["shaking"].update(Reading("vibration", 9.0, 1 * NS))
    memory.lenses["cam"].look(np.zeros((1, 32, 32, 3), np.uint8), 1 * NS)
    return memory


def verdicts(memory: Memory) -> list[Verdict]:
    """What each channel says a moment later."""
    return [channel.evidence(2 * NS).verdict for channel in memory.channels]


def test_what_means_the_same_goes_on(folder: Path) -> None:
    """Verdicts, rules and what was learned of a camera survive; so a reload between two frames shows as nothing."""
    before = lived(folder)
    after = remember(plan(folder, publish={"flags": "frame"}), before)
    assert verdicts(after) == [Verdict.FAULT, Verdict.FAULT]
    assert after.lenses["cam"] is before.lenses["cam"]
    assert after.rules["shaking"] is before.rules["shaking"]


def test_what_means_something_else_begins_anew(folder: Path) -> None:
    """Another question, another limit, other picture settings: nothing is known yet, which is never ok."""
    before = lived(folder)
    changed = plan(
        folder,
        cameras=({"id": "cam", "picture": {"darkest": 10.0}},),
        rules=({"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 5.0},),
        faults=({"id": "red", "camera": "cam", "vision": "green"}, {"id": "loose", "rules": ("shaking",)}),
    )
    after = remember(changed, before)
    assert verdicts(after) == [Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert after.channels[0].evidence(2 * NS).quality is Quality.BAD
    assert after.lenses["cam"] is not before.lenses["cam"]
    assert after.rules["shaking"] is not before.rules["shaking"]


def test_a_camera_of_another_tensor_is_learned_anew(folder: Path, tmp_path: Path) -> None:
    """A lens compares tensors: of another size they say nothing."""
    before = lived(folder)
    size = {"name": "frame", "width": 64, "height": 64, "resize": "stretch"}
    colour_bundle(tmp_path / "large", input=size)
    assert remember(plan(tmp_path / "large"), before).lenses["cam"] is not before.lenses["cam"]

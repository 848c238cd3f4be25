"""What a second watch takes over from the first: everything that means the same, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.frame import Quality, Reading, Verdict
from edge.lens import Baseline, Trouble, to_dict
from edge.settings import Site
from edge.watch import BASELINE_DEPTH_NS, Memory, Plan, make_plan, recall_views, remember
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


def usual() -> Baseline:
    """A baseline of a grey wall."""
    return Baseline(1.0, *(np.full((16, 16), level, np.float32) for level in (5.0, 90.0, 110.0)))


def test_a_baseline_outlives_other_picture_settings(folder: Path) -> None:
    """It was measured on the same tensors; what stands is believed until it is known to be gone."""
    before = remember(plan(folder), views={"cam": usual()})
    changed = plan(folder, cameras=({"id": "cam", "picture": {"darkest": 10.0}},))
    after = remember(changed, before, stands=lambda alarm: alarm == "cam-covered").lenses["cam"]
    assert after.baseline is before.lenses["cam"].baseline
    assert after.look(np.zeros((1, 32, 32, 3), np.uint8), 1 * NS) is Quality.BAD


def test_what_stands_is_believed_by_a_lens_without_a_baseline(folder: Path) -> None:
    """Each of its alarms, by its own name, and no other camera's."""
    grey = np.full((1, 32, 32, 3), 90, np.uint8)
    for trouble in Trouble:
        lens = remember(plan(folder), stands=lambda alarm, trouble=trouble: alarm == f"cam-{trouble}").lenses["cam"]  # type: ignore[misc] # a lambda with a default
        assert lens.look(grey, 1 * NS) is (Quality.STALE if trouble is Trouble.FROZEN else Quality.BAD)
    other = remember(plan(folder), stands=lambda alarm: alarm == "cam2-covered").lenses["cam"]
    assert other.look(grey, 1 * NS) is Quality.GOOD


def test_what_comes_back_knows_what_it_knew(folder: Path, tmp_path: Path) -> None:
    """A reload that is taken back: what the one between did not have is taken from before it, everything else from the newest."""
    former = lived(folder)
    size = {"name": "frame", "width": 64, "height": 64, "resize": "stretch"}
    colour_bundle(tmp_path / "large", input=size)
    between = remember(plan(tmp_path / "large", faults=({"id": "red", "camera": "cam"},), rules=()), former)
    between.channels[0].see(0.1, 1 * NS, late=False)
    back = remember(plan(folder), between, former)
    assert verdicts(back) == [Verdict.OK, Verdict.FAULT]
    assert back.lenses["cam"] is former.lenses["cam"]
    assert back.rules["shaking"] is former.rules["shaking"]


@pytest.mark.parametrize(
    ("age_ns", "standing", "found"),
    [
        (0, "", True),
        (BASELINE_DEPTH_NS, "", True),
        (BASELINE_DEPTH_NS + 1, "", False),
        (-BASELINE_DEPTH_NS, "", True),
        (1000 * BASELINE_DEPTH_NS, "cam-covered", True),
        (1000 * BASELINE_DEPTH_NS, "cam-blurred", True),
        (1000 * BASELINE_DEPTH_NS, "cam-dark", False),
    ],
)
def test_an_old_baseline_counts_only_while_something_stands_against_it(
    folder: Path,
    age_ns: int,
    standing: str,
    found: bool,  # noqa: FBT001 - a table's column
) -> None:
    """A plant that was off for a night may look different; a cover that stood must not be learned."""
    ours, wall_ns = plan(folder), 10**18
    kept = {"view/cam": to_dict(usual(), ours.tensor, wall_ns - age_ns)}
    assert ("cam" in recall_views(ours, kept, lambda alarm: alarm == standing, wall_ns)) is found


def test_a_baseline_of_other_tensors_or_a_damaged_one_is_not_used(folder: Path) -> None:
    """The camera is learned anew, or stays blind while something stands; the daemon starts."""
    ours = plan(folder)
    damaged: list[Any] = [to_dict(usual(), "other", 0), {"format": 1}, [], "rubbish", None]
    for data in damaged:
        assert recall_views(ours, {"view/cam": data}, lambda _alarm: False, 0) == {}

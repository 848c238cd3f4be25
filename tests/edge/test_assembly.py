"""What a second watch takes over from the first: everything that means the same, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.assembly import BASELINE_DEPTH_NS, Stages, make_stages, prove_plan, recall_kinds, recall_views, summary
from edge.bundle import open_bundle
from edge.errors import ConfigError, EdgeError, ProofFailed, refuse_other_systems
from edge.frame import Quality, Reading, Trouble, Verdict
from edge.inference.picture_contract import Contract, Kind
from edge.inference.picture_quality import Baseline, to_dict
from edge.plan import Plan, make_plan, site_bundle
from edge.site.settings import Site
from tests.stand.bundles import colour_bundle

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


def lived(folder: Path) -> Stages:
    """Stages that saw red and felt shaking."""
    stages = make_stages(plan(folder))
    stages.channels[0].see(0.9, 1 * NS, late=False)
    stages.rules["shaking"].update(Reading("vibration", 9.0, 1 * NS))
    stages.picture_monitors["cam"].assess(np.zeros((1, 32, 32, 3), np.uint8), 1 * NS)
    return stages


def verdicts(stages: Stages) -> list[Verdict]:
    """What each channel says a moment later."""
    return [channel.evidence(2 * NS).verdict for channel in stages.channels]


def test_what_means_the_same_goes_on(folder: Path) -> None:
    """Verdicts, rules and what was learned of a camera survive; so a reload between two frames shows as nothing."""
    before = lived(folder)
    after = make_stages(plan(folder, publish={"flags": "frame"}), before)
    assert verdicts(after) == [Verdict.FAULT, Verdict.FAULT]
    assert after.picture_monitors["cam"] is before.picture_monitors["cam"]
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
    after = make_stages(changed, before)
    assert verdicts(after) == [Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert after.channels[0].evidence(2 * NS).quality is Quality.BAD
    assert after.picture_monitors["cam"] is not before.picture_monitors["cam"]
    assert after.rules["shaking"] is not before.rules["shaking"]


def test_a_camera_of_another_tensor_is_learned_anew(folder: Path, tmp_path: Path) -> None:
    """A lens compares tensors: of another size they say nothing."""
    before = lived(folder)
    size = {"name": "frame", "width": 64, "height": 64, "resize": "stretch"}
    colour_bundle(tmp_path / "large", input=size)
    assert make_stages(plan(tmp_path / "large"), before).picture_monitors["cam"] is not before.picture_monitors["cam"]


def usual() -> Baseline:
    """A baseline of a grey wall."""
    return Baseline(1.0, *(np.full((16, 16), level, np.float32) for level in (5.0, 90.0, 110.0)))


def test_a_baseline_outlives_other_picture_settings(folder: Path) -> None:
    """It was measured on the same tensors; what stands is believed until it is known to be gone."""
    before = make_stages(plan(folder), views={"cam": usual()})
    changed = plan(folder, cameras=({"id": "cam", "picture": {"darkest": 10.0}},))
    after = make_stages(changed, before, is_active=lambda alarm: alarm == "cam-covered").picture_monitors["cam"]
    assert after.baseline is before.picture_monitors["cam"].baseline
    assert after.assess(np.zeros((1, 32, 32, 3), np.uint8), 1 * NS) is Quality.BAD


def test_what_stands_is_believed_by_a_lens_without_a_baseline(folder: Path) -> None:
    """Each of its alarms, by its own name, and no other camera's."""
    grey = np.full((1, 32, 32, 3), 90, np.uint8)
    for trouble in Trouble:
        active = f"cam-{trouble}"
        monitor = make_stages(plan(folder), is_active=active.__eq__).picture_monitors["cam"]
        assert monitor.assess(grey, 1 * NS) is (Quality.STALE if trouble is Trouble.FROZEN else Quality.BAD)
    other = make_stages(plan(folder), is_active=lambda alarm: alarm == "cam2-covered").picture_monitors["cam"]
    assert other.assess(grey, 1 * NS) is Quality.GOOD


def test_what_comes_back_knows_what_it_knew(folder: Path, tmp_path: Path) -> None:
    """A reload that is taken back: what the one between did not have is taken from before it, everything else from the newest."""
    former = lived(folder)
    size = {"name": "frame", "width": 64, "height": 64, "resize": "stretch"}
    colour_bundle(tmp_path / "large", input=size)
    between = make_stages(plan(tmp_path / "large", faults=({"id": "red", "camera": "cam"},), rules=()), former)
    between.channels[0].see(0.1, 1 * NS, late=False)
    back = make_stages(plan(folder), between, former)
    assert verdicts(back) == [Verdict.OK, Verdict.FAULT]
    assert back.picture_monitors["cam"] is former.picture_monitors["cam"]
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


def sensors_only(**changes: Any) -> Site:
    """A site without a camera."""
    base: dict[str, Any] = {
        "node": {"id": "n"},
        "sensors": ({"id": "vibration"},),
        "rules": ({"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 4.0},),
        "faults": ({"id": "loose", "rules": ("shaking",)},),
    }
    return Site.model_validate(base | changes)


@pytest.mark.parametrize("bundle", [None, "nowhere"])
def test_a_site_without_cameras_needs_no_bundle(bundle: str | None) -> None:
    """None is opened, loaded or proven, also where one is named that is not there; nobody asks how fast pictures are."""
    site = sensors_only(bundle=bundle)
    assert site_bundle(site) is None
    made = make_plan(site, site_bundle(site))
    assert (made.model, made.budgets_ms, made.title) == (None, {}, "no bundle")
    assert [channel.id for channel in made.channels] == ["loose"]
    assert "node-slow" not in {entry.spec.id for entry in made.alarms}
    proven = prove_plan(made, lambda: pytest.fail("nothing is timed"))
    assert (proven.engine, proven.proof) == (None, None)
    assert summary(proven, "other:0").startswith("no bundle, 0 cameras, 1 sensors, 1 faults, inference thread other 0")


def test_cameras_need_a_bundle() -> None:
    """The site file says so before anything starts."""
    with pytest.raises(ConfigError, match="cameras are watched with a bundle"):
        site_bundle(sensors_only(cameras=({"id": "cam"},)))


def test_a_bundle_that_doubts_its_own_proof_needs_the_site_to_allow_it(folder: Path) -> None:
    """It was kept so that an hour's work is not lost, not so that it goes live unnoticed."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["proof"]["doubts"] = ["measured on a busy machine"]
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(ProofFailed, match=r"not proven: measured on a busy machine.*allow_unproven"):
        plan(folder)
    plan(folder, runtime={"allow_other_board": True, "allow_unproven": True})


def test_other_systems_are_refused_plainly() -> None:
    """Half of what it needs is Linux's own."""
    refuse_other_systems()
    for system in ("Windows", "Darwin", ""):
        with pytest.raises(EdgeError, match="Linux only"):
            refuse_other_systems(system)


VGA = Kind(640, 480, colour=True)


def test_accepted_kinds_of_picture_survive_a_restart(folder: Path) -> None:
    """As they were kept, for each camera by itself; a monitor begins with them."""
    cameras = ({"id": "cam"}, {"id": "new"})
    kept = {"kinds/cam": Contract(0, [VGA]).to_dict(), "kinds/gone": Contract(0, [VGA]).to_dict()}
    kinds = recall_kinds(plan(folder, cameras=cameras), kept)
    assert kinds == {"cam": (VGA,), "new": ()}
    assert make_stages(plan(folder), kinds=kinds).picture_monitors["cam"].contract.accepted == (VGA,)


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        ({"format": 99, "accepted": [[640, 480, True]]}, {"cam": ()}),
        ({"accepted": []}, {}),
        ({"format": Contract(0).to_dict()["format"], "accepted": [[640]]}, {}),
        ({"format": Contract(0).to_dict()["format"], "accepted": 5}, {}),
    ],
)
def test_kinds_that_cannot_be_read_are_learned_anew_and_said(
    folder: Path, kept: dict[str, Any], found: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Another format is no fault; a damaged one is logged, and costs nothing else."""
    assert recall_kinds(plan(folder), {"kinds/cam": kept}) == found
    assert ("camera cam" in caplog.text) == (not found)


HALF = {"id": "half", "box": [0.0, 0.0, 0.5, 1.0]}


def test_a_region_that_moved_begins_anew_under_its_old_name(folder: Path) -> None:
    """What was seen in another place says nothing of this one; the same box goes on, also after a reload."""
    faults = [{"id": "red", "camera": "cam", "region": "half"}]
    before = make_stages(plan(folder, cameras=[{"id": "cam", "regions": [HALF]}], faults=faults))
    before.channels[0].see(0.9, 1, late=False)
    for box, verdict in (([0.0, 0.0, 0.5, 1.0], Verdict.FAULT), ([0.5, 0.0, 0.5, 1.0], Verdict.UNKNOWN)):
        cameras = [{"id": "cam", "regions": [HALF | {"box": box}]}]
        after = make_stages(plan(folder, cameras=cameras, faults=faults), before)
        assert after.channels[0].evidence(2).verdict is verdict


def test_faults_that_would_have_one_name_are_refused(folder: Path) -> None:
    """On a site that names none: camera `a` with region `b-c`, and camera `a-b` with region `c`."""
    cameras = [{"id": "a", "regions": [HALF | {"id": "b-c"}]}, {"id": "a-b", "regions": [HALF | {"id": "c"}]}]
    with pytest.raises(ConfigError, match=r"two faults would be called a-b-c-blue, by camera, region and fault"):
        plan(folder, cameras=cameras, faults=[])


def test_a_plan_names_what_the_graph_looks_at(folder: Path) -> None:
    """Each watched region once, the whole picture where a fault looks at it or none looks at the camera at all."""
    cameras = [{"id": "cam", "regions": [HALF, HALF | {"id": "unused"}]}, {"id": "idle", "regions": [HALF]}]
    faults = [{"id": "red", "camera": "cam", "region": "half"}, {"id": "green", "camera": "cam", "region": "half"}]
    watched = {
        camera: [one.name for one in regions]
        for camera, regions in plan(folder, cameras=cameras, faults=faults).regions.items()
    }
    assert watched == {"cam": ["half"], "idle": ["whole"]}
    both = plan(folder, cameras=cameras, faults=[*faults, {"id": "blue", "camera": "cam"}]).regions["cam"]
    assert [one.name for one in both] == ["whole", "half"]

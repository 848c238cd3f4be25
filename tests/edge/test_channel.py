"""Site and bundle are joined once, and a channel's verdict never invents an ok."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import Manifest
from edge.channel import Channel, resolve_channels, resolve_rules
from edge.errors import ConfigError
from edge.frame import Quality, Reading, Verdict
from edge.settings import Site
from tests.edge.builders import fault, manifest_document

MS = 1_000_000
FILES = {"graph.onnx": b"g", "golden/0.jpg": b"p"}
MANIFEST = Manifest.model_validate(manifest_document(FILES))


def site(**changes: object) -> Site:
    """A site with one camera and one rule."""
    base: dict[str, object] = {
        "bundle": Path("b"),
        "node": {"id": "n"},
        "cameras": ({"id": "cam"},),
        "sensors": ({"id": "vibration"},),
        "rules": ({"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 4.0},),
    }
    return Site.model_validate(base | changes)


def channel(**settings: object) -> Channel:
    """One channel of a site, with threshold 0.8 and release 0.6."""
    ours = site(faults=({"id": "crack", "camera": "cam"} | settings,))
    return Channel(resolve_channels(ours, MANIFEST)[0], resolve_rules(ours))


def test_a_site_without_faults_watches_everything() -> None:
    """Every fault of the bundle, on every camera, without alarms."""
    assert [spec.id for spec in resolve_channels(site(), MANIFEST)] == ["crack", "dent"]
    two = site(cameras=({"id": "a"}, {"id": "b"}))
    assert [spec.id for spec in resolve_channels(two, MANIFEST)] == ["a-crack", "a-dent", "b-crack", "b-dent"]


def test_a_fault_that_the_bundle_does_not_know_is_named() -> None:
    """The message lists what the bundle has."""
    with pytest.raises(ConfigError, match=r"rust.*crack, dent"):
        resolve_channels(site(faults=({"id": "rust", "camera": "cam"},)), MANIFEST)


def test_a_fault_is_armed_when_its_threshold_is_calibrated() -> None:
    """Words alone give scores; sensor rules are set by an engineer and need no calibration."""
    manifest = Manifest.model_validate(
        manifest_document(FILES, faults=[fault("crack", armed=False, calibration=None), fault("dent")])
    )
    specs = resolve_channels(
        site(
            faults=(
                {"id": "crack", "camera": "cam"},
                {"id": "dent", "camera": "cam"},
                {"id": "loose", "rules": ("shaking",)},
            )
        ),
        manifest,
    )
    assert [spec.armed for spec in specs] == [False, True, True]


def test_hysteresis_holds_between_release_and_threshold() -> None:
    """Between the two the verdict stays what it was."""
    ours = channel()
    found = []
    for score in (0.7, 0.8, 0.7, 0.6, 0.59, 0.7):
        ours.see(score, 0, late=False)
        found.append(ours.evidence(0).verdict.value)
    assert found == ["ok", "fault", "fault", "fault", "ok", "ok"]


def test_a_late_frame_can_show_a_fault_but_not_its_absence() -> None:
    """Late ok is unknown; late fault is a fault of uncertain quality."""
    ours = channel()
    ours.see(0.9, 0, late=True)
    assert (ours.evidence(0).verdict, ours.evidence(0).quality) == (Verdict.FAULT, Quality.UNCERTAIN)
    ours.see(0.1, 0, late=True)
    assert ours.evidence(0).verdict is Verdict.UNKNOWN
    ours.see(0.1, 0, late=False)
    assert ours.evidence(0).verdict is Verdict.OK


def test_a_frame_that_cannot_be_judged_is_unknown() -> None:
    """A damaged picture never leaves the last ok standing."""
    ours = channel()
    ours.see(0.1, 0, late=False)
    ours.miss(40 * MS)
    assert (ours.evidence(40 * MS).verdict, ours.evidence(40 * MS).quality) == (Verdict.UNKNOWN, Quality.BAD)


def test_a_silent_camera_grows_stale() -> None:
    """After the camera's stale time the verdict is unknown."""
    ours = channel()
    ours.see(0.1, 0, late=False)
    assert ours.evidence(2000 * MS).verdict is Verdict.OK
    assert (ours.evidence(2001 * MS).verdict, ours.evidence(2001 * MS).quality) == (Verdict.UNKNOWN, Quality.STALE)


@pytest.mark.parametrize(
    ("combine", "score", "value", "verdict"),
    [
        ("any", 0.1, 9.0, Verdict.FAULT),
        ("any", 0.9, 1.0, Verdict.FAULT),
        ("any", 0.1, 1.0, Verdict.OK),
        ("all", 0.9, 1.0, Verdict.OK),
        ("all", 0.9, 9.0, Verdict.FAULT),
        ("weighted", 0.9, 9.0, Verdict.FAULT),
        ("weighted", 0.1, 1.0, Verdict.OK),
        ("any", 0.1, None, Verdict.UNKNOWN),
        ("all", 0.1, None, Verdict.OK),
        ("all", 0.9, None, Verdict.UNKNOWN),
    ],
)
def test_vision_and_sensors_are_joined(combine: str, score: float, value: float | None, verdict: Verdict) -> None:
    """Any, all and weighted, in three-valued logic."""
    ours_site = site(faults=({"id": "crack", "camera": "cam", "rules": ("shaking",), "combine": combine},))
    rules = resolve_rules(ours_site)
    ours = Channel(resolve_channels(ours_site, MANIFEST)[0], rules)
    ours.see(score, 0, late=False)
    if value is not None:
        rules["shaking"].update(Reading("vibration", value, 0))
    assert ours.evidence(0).verdict is verdict


@pytest.mark.parametrize(
    ("combine", "score", "value", "verdict", "seen", "heard"),
    [
        ("any", 0.9, 1.0, Verdict.FAULT, True, False),
        ("any", 0.1, 9.0, Verdict.FAULT, False, True),
        ("any", 0.1, 1.0, Verdict.OK, True, True),
        ("all", 0.9, 9.0, Verdict.FAULT, True, True),
        ("all", 0.1, 9.0, Verdict.OK, True, False),
        ("all", 0.9, 1.0, Verdict.OK, False, True),
        ("weighted", 0.9, 1.0, Verdict.FAULT, True, True),
        ("any", float("nan"), 9.0, Verdict.FAULT, False, True),
        ("weighted", float("nan"), 9.0, Verdict.FAULT, False, True),
    ],
)
def test_what_came_bears_out_the_verdict_or_does_not(
    *, combine: str, score: float, value: float, verdict: Verdict, seen: bool, heard: bool
) -> None:
    """Only a source that says so itself counts again; with weights each that says anything."""
    ours = channel(rules=("shaking",), combine=combine)
    ours.see(score, 1, late=False)
    for rule in ours._rules:  # the rules of this channel alone
        rule.update(Reading("vibration", value, 1))
    assert ours.sensors == {"vibration"}
    assert ours.borne_out(verdict, 2, seen=True, heard=()) is seen
    assert ours.borne_out(verdict, 2, seen=False, heard={"vibration", "other"}) is heard
    assert not ours.borne_out(verdict, 2, seen=False, heard={"other"})

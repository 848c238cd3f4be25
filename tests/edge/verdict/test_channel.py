"""Site and bundle are joined once, and a channel's verdict never invents an ok."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.frame import Quality, Reading, Verdict
from edge.manifest import Manifest
from edge.plan import resolve_channels, resolve_rules
from edge.site.settings import Site
from edge.verdict.channel import Channel
from tests.stand.bundles import fault, manifest_document

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


def test_a_camera_that_is_known_to_be_away_is_unknown_at_once() -> None:
    """What came after that word stays a verdict; a channel without a camera has nothing to lose."""
    ours = channel()
    ours.lose(0)
    ours.see(0.1, 40 * MS, late=False)
    ours.lose(39 * MS)
    assert ours.evidence(40 * MS).verdict is Verdict.OK
    ours.lose(41 * MS)
    assert (ours.evidence(41 * MS).verdict, ours.evidence(41 * MS).quality) == (Verdict.UNKNOWN, Quality.BAD)
    sensors_only = site(faults=({"id": "loose", "rules": ("shaking",)},))
    blind = Channel(resolve_channels(sensors_only, MANIFEST)[0], resolve_rules(sensors_only))
    blind.lose(41 * MS)
    assert blind.vision(41 * MS) is None


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
    ("combine", "score", "value", "verdict", "seen", "updated"),
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
    *, combine: str, score: float, value: float, verdict: Verdict, seen: bool, updated: bool
) -> None:
    """Only a source that says so itself counts again; with weights each that says anything."""
    ours = channel(rules=("shaking",), combine=combine)
    ours.see(score, 1, late=False)
    for rule in ours._rules:  # the rules of this channel alone
        rule.update(Reading("vibration", value, 1))
    assert ours.sensors == {"vibration"}
    assert ours.is_confirmed(verdict, 2, seen=True, updated=()) is seen
    assert ours.is_confirmed(verdict, 2, seen=False, updated={"vibration", "other"}) is updated
    assert not ours.is_confirmed(verdict, 2, seen=False, updated={"other"})


def test_pictures_say_nothing_of_a_fault_that_only_sensors_tell() -> None:
    """Whatever is scored or could not be judged, its verdict is the sensors'."""
    ours_site = site(faults=({"id": "worn", "rules": ("shaking",)},))
    rules = resolve_rules(ours_site)
    ours = Channel(resolve_channels(ours_site, MANIFEST)[0], rules)
    rules["shaking"].update(Reading("vibration", 9.0, 0))
    before = ours.evidence(0)
    assert before.verdict is Verdict.FAULT
    ours.see(0.0, 0, late=False)
    assert ours.evidence(0) == before
    ours.miss(0)
    assert ours.evidence(0) == before


@pytest.mark.parametrize(
    ("before", "after", "goes_on"),
    [
        ({"camera": "cam", "vision": "crack"}, {"camera": "cam", "vision": "crack"}, True),
        ({"camera": "cam", "vision": "crack"}, {"camera": "cam", "vision": "dent"}, False),
        ({"camera": "cam", "vision": "crack"}, {"camera": "other", "vision": "crack"}, False),
        ({"camera": "cam", "vision": "crack"}, {"rules": ("shaking",)}, False),
        ({"rules": ("shaking",)}, {"camera": "cam", "vision": "crack"}, False),
    ],
)
def test_a_channel_goes_on_only_where_it_asks_the_same_of_the_same_camera(
    before: dict[str, object], after: dict[str, object], *, goes_on: bool
) -> None:
    """After a reload nothing is known yet of another fault or another view."""

    def made(settings: dict[str, object]) -> Channel:
        ours = site(cameras=({"id": "cam"}, {"id": "other"}), faults=({"id": "x"} | settings,))
        return Channel(resolve_channels(ours, MANIFEST)[0], resolve_rules(ours))

    old, new = made(before), made(after)
    old.see(0.9, 5, late=True)
    new.succeed(old)
    assert (new.evidence(6).verdict is Verdict.FAULT) == goes_on


def test_limits_for_running_and_for_stopped_take_turns() -> None:
    """Each rule counts while its gate holds; the other is left out, so the fault can clear."""
    rules = (
        {"id": "running", "sensor": "speed", "kind": "above", "limit": 100.0},
        {"id": "standing", "sensor": "speed", "kind": "below", "limit": 100.0},
        {"id": "rough", "sensor": "vibration", "kind": "above", "limit": 4.0, "when": ("running",)},
        {"id": "knocked", "sensor": "vibration", "kind": "above", "limit": 1.0, "when": ("standing",)},
    )
    sensors = ({"id": "vibration"}, {"id": "speed"})
    ours = site(cameras=(), sensors=sensors, rules=rules, faults=({"id": "f", "rules": ("rough", "knocked")},))
    known = resolve_rules(ours)
    watched = Channel(resolve_channels(ours, None)[0], known)
    for speed, vibration, verdict in (
        (200.0, 3.0, Verdict.OK), (200.0, 5.0, Verdict.FAULT), (0.0, 0.5, Verdict.OK), (0.0, 3.0, Verdict.FAULT),
    ):  # fmt: skip
        for rule in known.values():
            for reading in (Reading("speed", speed, 0), Reading("vibration", vibration, 0)):
                if reading.sensor in rule.spec.sensors:
                    rule.update(reading)
        assert watched.evidence(0).verdict is verdict
        assert [name for name, _ in watched.rules(0)] == ["rough" if speed else "knocked"]
    assert watched.sensors == {"vibration"}


def test_a_channel_says_what_its_camera_and_each_rule_say_alone() -> None:
    """For explanations: the parts of what is joined."""
    ours_site = site(faults=({"id": "worn", "rules": ("shaking",)},))
    rules = resolve_rules(ours_site)
    ours = Channel(resolve_channels(ours_site, MANIFEST)[0], rules)
    rules["shaking"].update(Reading("vibration", 9.0, 0))
    assert ours.vision(0) is None
    assert ours.rules(0) == (("shaking", Verdict.FAULT),)
    seen = Channel(resolve_channels(site(faults=({"id": "crack", "camera": "cam"},)), MANIFEST)[0], {})
    seen.see(1.0, 0, late=False)
    found = seen.vision(0)
    assert found is not None
    assert found.verdict is Verdict.FAULT


def test_a_channel_says_until_when_its_evidence_stays_and_what_ends_that() -> None:
    """The next time at which a frame or a reading is too old; a frame, a loss and another trust make another version."""
    assert channel(rules=("shaking",)).listens == {"vibration"}
    target = channel()
    target.see(0.1, 0, late=False)
    stale_ns = target.spec.stale_after_ns
    assert target.steady_until_ns(0) == stale_ns + 1
    assert target.evidence(stale_ns) == target.evidence(0) != target.evidence(stale_ns + 1)
    assert target.steady_until_ns(stale_ns + 1) > 1 << 61
    versions = [target.version]
    target.trust = Quality.GOOD  # as it was
    versions.append(target.version)
    target.trust = Quality.UNCERTAIN
    assert target.trust is Quality.UNCERTAIN
    versions.append(target.version)
    target.see(0.2, 1, late=False)
    versions.append(target.version)
    target.lose(2)
    versions.append(target.version)
    assert versions == [1, 1, 2, 3, 4]


def test_a_channel_without_a_camera_has_no_version_but_that_of_its_trust() -> None:
    """What is said of pictures does not concern it."""
    target = channel(camera=None, rules=("shaking",))
    target.see(0.1, 0, late=False)
    target.miss(0)
    assert (target.version, target.steady_until_ns(0)) == (0, 1 << 62)

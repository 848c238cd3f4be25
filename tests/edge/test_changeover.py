"""Another product is made: what its profile holds, holds from the next frame on; the rest is unknown and suppressed, never silently ok."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from edge.bundle import open_bundle
from edge.changeover import KEPT_PROFILE, MAX_WAITING, Changeover
from edge.errors import ConfigError
from edge.frame import Frame, Recipe, Trigger
from edge.plan import make_plan, with_profile
from edge.reload import Live, Reloader, Trial
from edge.site.settings import Site
from edge.succession import Succession
from edge.wire.envelope import Incoming
from edge.wire.message import timestamp
from tests.edge.bench import ALARM, DARK, RED, WALL_NS, Bench
from tests.stand.bundles import flat_jpeg

REDDISH = flat_jpeg(150, 0, 0)  # scores 0.59 for red: below the bundle's threshold of 0.8
PROFILES: tuple[dict[str, Any], ...] = (
    {"id": "large"},
    {
        "id": "small",
        "called": ("12",),
        "faults": ("red", "loose"),
        "thresholds": {"red": 0.5},
        "limits": {"shaking": 9.0},
    },
    {"id": "plain", "faults": ("blue",)},
)
FAULTS = (
    {"id": "red", "camera": "cam", "alarm": ALARM},
    {"id": "blue", "camera": "cam", "region": "top", "alarm": ALARM},
    {"id": "loose", "rules": ("shaking",), "alarm": ALARM},
)
CAMERA = {"id": "cam", "regions": ({"id": "top", "box": (0.0, 0.0, 1.0, 0.5)},)}


class Line(Bench):
    """A worker whose profile can be changed, as the daemon's can."""

    def __init__(self, folder: Path, kept: Mapping[str, Any] | None = None, **site: Any) -> None:
        super().__init__(folder, **{"cameras": (CAMERA,), "faults": FAULTS, "profiles": PROFILES} | site)
        clock, publisher = self.services.clock, self.services.publisher
        restored = {} if kept is None else {KEPT_PROFILE: kept}
        self.changeover = Changeover(
            self.annunciator,
            publisher,
            clock,
            restored=restored,
            take=self.inbox.take_recipe,
            rejected=self.health.rejected,
        )
        services = replace(
            self.services, profile=self.changeover.command, unknown_profile=lambda: self.changeover.unknown
        )
        plan = make_plan(self.site, open_bundle(folder), None if kept is None else kept["id"])
        self.live = Live(
            services,
            Reloader(None, lambda: None, 0),
            replace(self.proven, plan=plan),
            replace(self.stages, plan=plan),
            Succession(self.annunciator, publisher, clock, {}),
            frame_waits=lambda: False,
            reconfigure=lambda _plan, _now_ns: None,
            changeover=self.changeover,
        )
        self.worker = self.live.worker

    def turn(self, frame: Frame | None = None) -> None:
        """One round of the inference thread, then one of the journal's."""
        self.worker.turn(frame)
        if hasattr(self, "live"):
            self.live.renew()
            self.worker = self.live.worker
        self.journal.turn()

    def change(self, profile: str, **fields: Any) -> dict[str, Any]:
        """A command changes the profile."""
        body = {"request_id": f"p{self.time.now_ns}", "issued_at": timestamp(self.time.wall_ns()), "user": "op"}
        payload = json.dumps(body | {"profile": profile} | fields).encode()
        self.inbox.put_command(Incoming("p/cmd/profile", payload, False, 0, 0))  # noqa: FBT003 - a record's field
        self.turn()
        self.turn()
        return self.last("res/profile")

    def plant(self, word: str, *, retained: bool = False) -> None:
        """The plant's topic says which product is made."""
        self.inbox.put_recipe(Recipe(word, retained))
        self.idle(100)

    def changes(self) -> list[dict[str, Any]]:
        """What was journalled of changes."""
        return [event for event in self.take("event") if event["subject"] == "changeover"]

    @property
    def kept(self) -> Any:
        """What would survive a restart."""
        return self.journal.restored_later()  # type: ignore[attr-defined] # set by the fixture


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    """With what would be kept of it."""
    made = Line(tmp_path / "bundle")
    kept: dict[str, Any] = {}
    record = made.journal.record

    def noting(entry: Any) -> None:
        kept.update({name: None if state is None else state.to_dict() for name, state in entry.kept.items()})
        record(entry)

    monkeypatch.setattr(made.services.publisher, "_record", noting)
    monkeypatch.setattr(made.journal, "restored_later", lambda: kept.get(KEPT_PROFILE), raising=False)
    return made


def test_what_the_profile_leaves_out_is_unknown_and_its_alarm_suppressed(line: Line) -> None:
    """With the reason; what it holds goes on, and the change is journalled with its user and kept."""
    line.frame(RED)
    assert line.last("alarm/red")["state"] == "UNACK_ALM"
    reply = line.change("plain")
    assert (reply["ok"], reply["detail"]) == (True, "plain: 1 of 3 faults hold")
    flag, alarm = line.last("flag/red"), line.last("alarm/red")
    assert (flag["verdict"], flag["on"]) == ("unknown", None)
    assert (alarm["state"], alarm["suppressed_because"]) == ("SUPPRESSED", "profile plain does not hold it")
    (event,) = line.changes()
    assert (event["what"], event["user"]) == ("profile", "op")
    assert event["detail"] == "from large to plain: 1 of 3 faults hold; by command"
    assert line.kept == {"id": "plain", "word": None, "unknown": ""}
    line.idle(300)
    assert line.last("state")["profile"] == "plain"
    line.frame(RED)
    assert line.last("flag/red")["verdict"] == "unknown"
    assert line.last("flag/blue")["verdict"] == "ok"
    held = {channel["id"]: channel["held"] for channel in line.last("meta")["channels"]}
    assert held == {"red": False, "blue": True, "loose": False}
    assert [one["id"] for one in line.last("meta")["profiles"]] == ["large", "small", "plain"]


def test_only_regions_that_hold_are_computed(line: Line) -> None:
    """The whole picture is not looked at while only a fault of a region holds."""
    line.change("plain")
    assert [region.id for region in line.live.plan.regions["cam"]] == ["top"]
    line.frame(DARK)
    line.idle(1100)
    assert list(line.last("heartbeat")["cameras"]["cam"]["regions"]) == ["top"]
    assert line.last("heartbeat")["profile"] == "plain"


def test_what_holds_again_is_unknown_until_it_is_seen(line: Line) -> None:
    """What was seen before was another product; then its alarm moves again."""
    line.frame(DARK)
    line.change("plain")
    line.change("large")
    assert line.last("flag/red")["verdict"] == "unknown"
    assert line.last("alarm/red")["suppressed"] is False
    line.frame(RED)
    assert line.last("alarm/red")["state"] == "UNACK_ALM"


def test_thresholds_and_limits_are_those_of_the_profile(line: Line) -> None:
    """Of the frame, the alarm, the rule and `meta`; and the bundle's again afterwards."""
    line.frame(REDDISH)
    line.reading(5.0)
    line.idle(100)
    assert (line.last("flag/red")["verdict"], line.last("flag/loose")["verdict"]) == ("ok", "fault")
    line.change("12")
    assert line.last("flag/red")["verdict"] == "unknown", "it was judged by another threshold"
    line.frame(REDDISH)
    line.reading(5.0)
    line.idle(100)
    assert (line.last("flag/red")["verdict"], line.last("flag/loose")["verdict"]) == ("fault", "ok")
    assert line.last("alarm/red")["threshold"] == 0.5
    channel = next(one for one in line.last("meta")["channels"] if one["id"] == "red")
    assert (channel["threshold"], round(channel["release"], 3)) == (0.5, 0.3)
    line.change("large")
    line.frame(REDDISH)
    assert line.last("flag/red")["verdict"] == "ok"


def test_what_an_operator_suppressed_stays_so(line: Line) -> None:
    """A profile that holds it again does not show it."""
    assert line.command("suppress", alarm_id="red")["ok"]
    line.change("plain")
    line.change("large")
    assert line.last("alarm/red")["state"] == "SUPPRESSED"
    assert line.last("alarm/red")["suppressed_because"] is None


def test_from_one_profile_to_another_the_reason_follows(tmp_path: Path) -> None:
    """An alarm that neither of two holds names the one that is there now."""
    profiles = (*PROFILES, {"id": "other", "faults": ("loose",)})
    line = Line(tmp_path / "bundle", profiles=profiles)
    line.change("plain")
    line.change("other")
    assert line.last("alarm/red")["suppressed_because"] == "profile other does not hold it"


def test_an_unknown_profile_is_refused_and_nothing_changes(line: Line) -> None:
    """The answer lists those that there are."""
    reply = line.change("huge")
    assert (reply["ok"], reply["code"]) == (False, "bad_request")
    assert reply["detail"] == "no profile 'huge'; there are large, small, plain"
    assert line.change("large", request_id="again")["ok"], "the one that holds is no change"
    assert (line.changes(), line.live.plan.profile) == ([], "large")


def test_a_site_without_profiles_has_none_to_change(tmp_path: Path) -> None:
    """Everything always holds there."""
    line = Line(tmp_path / "bundle", profiles=())
    assert line.change("small")["code"] == "not_allowed"
    line.idle(300)
    assert line.last("state")["profile"] is None
    bench = Bench(tmp_path / "other")
    assert bench.command("profile", profile="small")["code"] == "not_allowed"


def test_the_plants_topic_changes_it_by_any_of_its_names(line: Line) -> None:
    """Journalled without a user; what the broker retained is no news once it was heard."""
    line.plant("12")
    assert line.live.plan.profile == "small"
    assert [(event["user"], event["detail"]) for event in line.changes()] == [
        (None, "from large to small: 2 of 3 faults hold; by the plant's topic")
    ]
    line.change("plain")
    line.plant("12", retained=True)
    assert line.live.plan.profile == "plain", "a command came since"
    line.plant("12")
    assert line.live.plan.profile == "small"


def test_a_product_that_no_profile_is_for_makes_every_verdict_uncertain(line: Line) -> None:
    """It is counted, journalled and in the state, until a profile is chosen; also over a restart."""
    line.frame(DARK)
    line.plant("99")
    line.idle(300)
    state = line.last("state")
    assert (state["ne107"], state["profile"]) == ("S", "large")
    assert "the plant makes '99', which no profile is called; large holds on" in state["reasons"]
    assert line.last("flag/red")["q"] == "uncertain"
    assert line.health.strays() == {"unknown_profile": 1}
    assert [event["what"] for event in line.changes()] == ["profile refused"]
    assert line.kept == {"id": "large", "word": "99", "unknown": "99"}
    line.change("large")
    line.frame(DARK)
    line.idle(300)
    assert line.last("flag/red")["q"] == "good"
    assert line.kept["unknown"] == ""


def test_the_profile_survives_a_restart(tmp_path: Path) -> None:
    """With its suppressions; one that the site file no longer has gives way to the first, and that is journalled."""
    line = Line(tmp_path / "a", {"id": "plain", "word": "12", "unknown": ""})
    line.idle(300)
    assert line.last("state")["profile"] == "plain"
    assert line.last("alarm/red")["suppressed_because"] == "profile plain does not hold it"
    line.plant("12", retained=True)
    assert line.live.plan.profile == "plain"
    gone = Line(tmp_path / "b", {"id": "old", "word": None, "unknown": "12"})
    gone.idle(300)
    assert gone.last("state")["profile"] == "small", "what the plant asked for has a profile now"
    assert [event["what"] for event in gone.changes()] == ["profile gone", "profile"]


def test_a_bundle_on_trial_is_taken_back_under_the_profile_that_holds_now(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The former one ran under another."""
    line.live._trial = Trial((line.live.proven, line.live.stages), line.health.tally(), 0)
    assert line.change("plain")["ok"]
    verdict: tuple[Literal["failed"], str] = ("failed", "10 late")
    monkeypatch.setattr(Trial, "judge", lambda *_: verdict)
    line.turn()
    assert line.live.plan.profile == "plain"
    assert "reload taken back" in [event["what"] for event in line.take("event")]


def test_a_start_that_was_too_slow_is_no_matter_once_it_was_measured_again(line: Line) -> None:
    """A changeover proves nothing again, and raises no alarm about the machine that has returned."""
    assert line.live.proven.proof is not None
    line.live.proven = replace(line.live.proven, proof=replace(line.live.proven.proof, frame_p50_ms=1e6))
    line.change("plain")
    line.idle(300)
    assert line.last("alarm/node-slow")["active"] is False


def test_a_change_that_fails_is_answered_and_changes_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a fault of this program, counted and journalled."""
    monkeypatch.setattr("edge.reload.with_profile", lambda *_: 1 // 0)
    reply = line.change("plain")
    assert (reply["code"], "ZeroDivisionError" in reply["detail"]) == ("not_allowed", True)
    assert (line.live.plan.profile, line.errors.counts()) == ("large", {"changeover": 1})
    assert [event["what"] for event in line.changes()] == ["profile refused"]


def test_commands_of_one_round_are_all_answered(line: Line) -> None:
    """In their order; more than fit are asked to come again."""
    for number in range(MAX_WAITING + 1):
        body = {"request_id": f"r{number}", "issued_at": timestamp(line.time.wall_ns()), "user": "op"}
        body["profile"] = "plain" if number % 2 else "small"
        line.inbox.put_command(Incoming("p/cmd/profile", json.dumps(body).encode(), False, 0, 0))  # noqa: FBT003 - a record's field
    line.idle(50 * (MAX_WAITING + 2))
    codes = [reply["code"] for reply in line.take("res/profile")]
    assert sorted(codes) == ["busy", *["ok"] * MAX_WAITING]


def test_an_inspection_asks_for_what_holds_and_names_the_profile(line: Line) -> None:
    """A fault that is left out does not make the part unknown."""
    line.change("plain")
    line.inbox.put_trigger(Trigger("cam", "A", line.time.now_ns, WALL_NS + line.time.now_ns))
    line.turn()
    line.frame(DARK)
    answer = line.last("inspection/cam")
    assert (answer["verdict"], list(answer["faults"]), answer["profile"]) == ("ok", ["blue"], "plain")


@pytest.mark.parametrize(
    ("profile", "faults", "words"),
    [
        ({"faults": ("rust",)}, (), "names faults \\['rust'\\]"),
        ({"thresholds": {"rust": 0.5}}, (), "names faults \\['rust'\\]"),
        ({"thresholds": {"loose": 0.5}}, FAULTS, "which no graph scores"),
    ],
)
def test_a_profile_has_to_fit_the_bundle(
    tmp_path: Path, profile: dict[str, Any], faults: tuple[Any, ...], words: str
) -> None:
    """Where the site leaves the faults to the bundle, they are looked at once both are known."""
    bench = Bench(tmp_path / "bundle")
    given = {"cameras": (CAMERA,), "faults": faults, "profiles": ({"id": "a", **profile},)}
    document = bench.site.model_dump() | given
    with pytest.raises(ConfigError, match=words):
        make_plan(Site.model_validate(document), open_bundle(tmp_path / "bundle"))


def test_the_release_moves_with_its_threshold(tmp_path: Path) -> None:
    """And never out of 0..1."""
    low = {"id": "low", "thresholds": {"red": 0.1}}
    line = Line(tmp_path / "bundle", profiles=(*PROFILES, low))
    faults = [with_profile(line.live.plan, name).channels[0].fault for name in ("large", "small", "low")]
    limits = [(fault.threshold, round(fault.release, 3)) for fault in faults if fault is not None]
    assert limits == [(0.8, 0.6), (0.5, 0.3), (0.1, 0.0)]

"""A part's answer: its frame, each fault of the camera, the reply to who asked; and never ok where it was not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.frame import Frame, Trigger
from edge.units import NS_PER_MS
from tests.edge.bench import ALARM, DARK, RED, WALL_NS, Bench

TOPIC = "inspection/cam"


def trigger(bench: Bench, part: str | None, *, ago_ms: float = 0.0, told: bool = False, **fields: Any) -> None:
    """A trigger comes, and the thread looks at it."""
    now_ns = bench.time.now_ns
    told_wall_ns = WALL_NS + now_ns - round(ago_ms * NS_PER_MS) if told else None
    bench.inbox.put_trigger(Trigger("cam", part, now_ns, WALL_NS + now_ns, told_wall_ns, **fields))
    bench.turn()


def put(bench: Bench, **fields: Any) -> None:
    """A command comes whose answer may come later."""
    with pytest.raises(IndexError):
        bench.command("inspect", **fields)


def outcomes(bench: Bench) -> list[tuple[str, str]]:
    """What was answered so far."""
    return [(one["outcome"], one["verdict"]) for one in bench.take(TOPIC)]


def test_a_part_is_answered_with_the_verdicts_of_the_next_frame(bench: Bench) -> None:
    """Faults of this camera only; part and correlation come back, and flag and alarm of that frame name the part."""
    bench.frame(DARK)
    trigger(bench, "P1", correlation="c7")
    bench.frame(RED)
    answer = bench.last(TOPIC)
    assert (answer["part"], answer["correlation"], answer["outcome"]) == ("P1", "c7", "judged")
    assert (answer["verdict"], answer["q"], answer["reason"], answer["frame_seq"]) == ("fault", "good", "", 2)
    assert answer["faults"] == {"red": {"verdict": "fault", "score": 0.9961, "q": "good", "reason": ""}}
    assert (answer["met"], answer["times"], answer["trigger_ts"]) == (True, 1, None)
    assert bench.last("flag/red")["part"] == "P1"
    assert bench.last("alarm/red")["source"]["part"] == "P1"
    bench.frame(DARK)
    assert bench.last("flag/red")["part"] is None
    assert len(bench.take(TOPIC)) == 1


def test_what_the_frame_does_not_show_is_unknown(bench: Bench) -> None:
    """A damaged picture is the answer only if no other fits; nothing at all is a time-out; neither is ever ok."""
    trigger(bench, "P1")
    bench.frame(b"rubbish")
    assert outcomes(bench) == []
    bench.idle(1100)
    first = bench.last(TOPIC)
    assert (first["outcome"], first["verdict"], first["frame_seq"]) == ("unknown", "unknown", 1)
    assert first["reason"] == "not_an_image"
    assert first["faults"]["red"]["verdict"] == "unknown"
    trigger(bench, "P2")
    bench.idle(1100)
    second = bench.last(TOPIC)
    assert (second["outcome"], second["verdict"], second["reason"]) == ("timeout", "unknown", "no_frame")
    assert (second["frame_seq"], second["faults"], second["q"]) == (None, {}, "bad")


def test_a_trigger_that_cannot_be_read_is_answered_too(bench: Bench) -> None:
    """At once, with the reason, and no frame is judged for it."""
    trigger(bench, None, problem="missing")
    bench.frame(DARK)
    (answer,) = bench.take(TOPIC)
    assert (answer["outcome"], answer["reason"], answer["part"]) == ("unknown", "missing", None)


def test_late_and_repeated_triggers_have_their_answers(bench: Bench) -> None:
    """Late by its own time; a repetition gets the first answer, and says so."""
    bench.idle(3000)
    trigger(bench, "P1", ago_ms=1500, told=True)
    assert outcomes(bench) == [("late", "unknown")]
    trigger(bench, "P2")
    bench.frame(DARK)
    trigger(bench, "P2")
    answer = bench.last(TOPIC)
    assert (answer["outcome"], answer["first"], answer["verdict"], answer["times"]) == ("duplicate", "judged", "ok", 2)
    assert answer["frame_seq"] == 1


def test_the_heartbeat_counts_triggers_and_parts(bench: Bench) -> None:
    """Triggers by outcome; parts by the verdict of their first answer."""
    trigger(bench, "P1")
    bench.frame(DARK)
    trigger(bench, "P1")
    trigger(bench, "P2")
    bench.idle(2100)
    camera = bench.last("heartbeat")["cameras"]["cam"]
    assert camera["inspections"] == {"judged": 1, "duplicate": 1, "timeout": 1}
    assert camera["parts"] == {"ok": 1, "unknown": 1}


def test_the_command_is_a_trigger_and_its_reply_the_result(bench: Bench) -> None:
    """It is answered when the frame was judged; of a request that is repeated meanwhile and afterwards nothing is executed again."""
    bench.frame(DARK)
    put(bench, part="P9", request_id="r1")
    assert bench.command("inspect", part="P9", request_id="r1")["code"] == "duplicate"
    bench.frame(RED)
    reply = bench.last("res/inspect")
    assert (reply["request_id"], reply["ok"], reply["code"]) == ("r1", True, "ok")
    assert reply["inspection"] == bench.last(TOPIC)
    assert (reply["inspection"]["part"], reply["inspection"]["correlation"]) == ("P9", "r1")
    assert reply["inspection"]["verdict"] == "fault"
    event = next(event for event in bench.take("event") if event["kind"] == "command" and event["what"] == "ok")
    assert (event["subject"], event["user"]) == ("inspect", "op")
    assert len(bench.take(TOPIC)) == 1


def test_a_command_that_no_frame_answers_is_not_ok(bench: Bench) -> None:
    """With the result all the same; without a part's id it is an inspection of what is there."""
    put(bench, request_id="r1")
    bench.idle(1100)
    reply = bench.last("res/inspect")
    assert (reply["ok"], reply["code"], reply["inspection"]["outcome"]) == (False, "not_judged", "timeout")
    assert reply["detail"] == "no part: timeout, unknown, no_frame"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"camera": "door"}, "name the camera"),
        ({"part": "a\u0007b"}, "printable"),
        ({"part": "  "}, "names no part"),
        ({"at": "yesterday"}, "no time"),
        ({"at": "2001-01-01T00:00:00Z"}, "no time"),
    ],
)
def test_a_command_that_means_nothing_is_refused(bench: Bench, fields: dict[str, str], words: str) -> None:
    """At once, with what is to be sent instead."""
    reply = bench.command("inspect", **fields)
    assert (reply["ok"], reply["code"]) == (False, "bad_request")
    assert words in reply["detail"]
    assert bench.take(TOPIC) == []


def test_a_frame_has_its_own_time_unless_the_site_ignores_it(tmp_path: Path) -> None:
    """A camera that is slow to send is no reason to judge the part before; one whose clock is wrong counts by receipt."""
    for max_age_ms, outcome in ((None, []), (0, [("judged", "ok")])):
        bench = Bench(tmp_path / f"{max_age_ms}", cameras=({"id": "cam", "max_age_ms": max_age_ms},))
        bench.idle(1000)
        trigger(bench, "P1")
        now_ns = bench.time.now_ns
        taken_wall_ns = WALL_NS + now_ns - 200 * NS_PER_MS
        bench.health.frame_received("cam", now_ns)
        bench.turn(Frame("cam", 1, DARK, now_ns, WALL_NS + now_ns, now_ns + 40 * NS_PER_MS, taken_wall_ns))
        assert outcomes(bench) == outcome


def regions_bench(folder: Path, regions: Sequence[str]) -> Bench:
    """A camera with regions, each with a fault."""
    boxes = tuple(
        {"id": name, "box": (0.0, number / len(regions), 1.0, 1 / len(regions))} for number, name in enumerate(regions)
    )
    faults = tuple(
        {"id": f"red-{name}", "camera": "cam", "region": name, "vision": "red", "alarm": ALARM} for name in regions
    )
    return Bench(folder / "bundle", cameras=({"id": "cam", "regions": boxes},), faults=faults, rules=(), sensors=())


def test_a_region_that_was_not_computed_on_the_frame_is_unknown_for_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its flag may still be ok, of the part before: that says nothing about this one."""
    bench = regions_bench(tmp_path, ("top", "bottom"))
    bench.frame(DARK)
    trigger(bench, "P1")
    bench.frame(DARK)
    assert bench.last(TOPIC)["verdict"] == "ok"
    monkeypatch.setattr("edge.inference.coverage.Coverage.fits", lambda _self, _left_ns: False)
    trigger(bench, "P2")
    bench.frame(DARK)
    assert {name: bench.last(f"flag/red-{name}")["verdict"] for name in ("top", "bottom")} == {
        "top": "ok",
        "bottom": "ok",
    }
    bench.idle(1100)
    answer = bench.last(TOPIC)
    assert (answer["outcome"], answer["verdict"], answer["reason"]) == ("unknown", "unknown", "not_seen")
    assert sorted(found["verdict"] for found in answer["faults"].values()) == ["ok", "unknown"]


def test_a_fault_that_is_seen_is_a_fault_although_another_region_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The part is bad whatever the rest of it is."""
    bench = regions_bench(tmp_path, ("top", "bottom"))
    bench.frame(DARK)
    monkeypatch.setattr("edge.inference.coverage.Coverage.fits", lambda _self, _left_ns: False)
    trigger(bench, "P1")
    bench.frame(RED)
    answer = bench.last(TOPIC)
    assert (answer["outcome"], answer["verdict"]) == ("judged", "fault")
    assert sorted(found["reason"] for found in answer["faults"].values()) == ["", "not_seen"]


def test_a_late_frame_is_no_ok_for_its_part(bench: Bench) -> None:
    """As its flag is not."""
    bench.frame(DARK)
    trigger(bench, "P1")
    bench.time.step_ns = 12 * NS_PER_MS  # each stage takes so long now
    bench.frame(DARK)
    bench.time.step_ns = 10_000
    bench.idle(1100)
    answer = bench.last(TOPIC)
    assert (answer["outcome"], answer["verdict"], answer["met"]) == ("unknown", "unknown", False)


def test_a_reload_keeps_what_waits_and_answers_what_it_takes_away(bench: Bench) -> None:
    """A camera that goes answers its triggers as unknown."""
    trigger(bench, "P1")
    inspections = bench.services.inspections
    later = lambda _request, _reply: None  # noqa: E731 - nobody waits by a command
    inspections.reconfigure(bench.site, bench.stages.channels, None, later)
    assert bench.take(TOPIC) == []
    inspections.reconfigure(bench.site.model_copy(update={"cameras": ()}), (), None, later)
    assert [(one["outcome"], one["reason"]) for one in bench.take(TOPIC)] == [("unknown", "camera_gone")]
    trigger(bench, "P2")
    assert bench.last(TOPIC)["reason"] == "camera_gone"

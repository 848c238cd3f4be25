"""Explanations beside the real stages: told after the alarm, with its occurrence, evidence for nothing, and never needed."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edge.assembly import make_stages, make_worker, prove_plan
from edge.bundle import open_bundle
from edge.explain.setup import rehearse_painting
from edge.inference.preprocess import decode_rgb, encode_jpeg
from edge.plan import make_plan, site_bundle
from edge.site.sections import ExplainSettings
from edge.wire.envelope import Outgoing
from edge.wire.messages import json_schemas
from tests.edge.bench import ALARM, Bench
from tests.stand.bundles import fault, flat_jpeg, speech_files, speech_section

DARK = flat_jpeg(10, 10, 10)
LOW = {"threshold": 0.1, "release": 0.08}  # a spot is not much of a picture
MADE: dict[str, Any] = {"faults": [fault(colour, **LOW) for colour in ("red", "green", "blue")]}
SPEAKS: dict[str, Any] = MADE | {"extra": speech_files(), "speech": speech_section()}


def spot() -> bytes:
    """A dark picture with a red patch in its lower left part."""
    picture = np.full((96, 96, 3), 10, np.uint8)
    picture[60:92, 4:36] = (255, 0, 0)
    return encode_jpeg(picture)


def make(folder: Path, made: dict[str, Any] = MADE, **site: Any) -> Bench:
    """A worker that explains."""
    return Bench(folder, made=made, **({"explain": {"enabled": True}} | site))


SHOWS: dict[str, Any] = {"explain": {"enabled": True, "image": True}, "cameras": ({"id": "cam", "snapshot": True},)}


def pictures(bench: Bench) -> list[Outgoing]:
    """What was sent as the picture of the red alarm, empty ones included."""
    return [message for message in bench.sent if message.topic == "p/explain/red/image"]


def raise_alarm(bench: Bench) -> dict[str, Any]:
    """A red spot is seen; returns the alarm."""
    bench.frame(DARK)
    bench.frame(spot())
    alarm = bench.last("alarm/red")
    assert alarm["active"]
    return alarm


def test_after_an_alarm_comes_one_sentence_about_it(tmp_path: Path) -> None:
    """On its own topic, retained, for a day; with the occurrence of the alarm and the frame that raised it, by the schema."""
    bench = make(tmp_path)
    alarm = raise_alarm(bench)
    assert not bench.take("explain/red"), "the alarm never waits for it"
    bench.idle(5000)
    (told,) = bench.take("explain/red")
    jsonschema.validate(told, json_schemas()["edge.explain/1"])
    assert (told["id"], told["occurrence_id"], told["machine_made"]) == ("red", alarm["occurrence_id"], True)
    assert (told["source"]["camera"], told["source"]["frame_seq"]) == ("cam", 2)
    assert told["where"] == "lower left"
    assert told["how"] == "template"
    sent = next(message for message in bench.sent if message.topic == "p/explain/red")
    assert (sent.qos, sent.retain, sent.expiry_s) == (1, True, 24 * 3600)
    assert bench.last("heartbeat")["explanations"] == {"template": 1}


def test_a_generative_bundle_says_it_in_its_own_words(tmp_path: Path) -> None:
    """Made with the bundle's decode graph; how sure the flag is stands behind it."""
    bench = make(tmp_path, SPEAKS)
    raise_alarm(bench)
    bench.idle(5000)
    told = bench.last("explain/red")
    assert told["text"].startswith(
        'The model says "It is red here." Red on camera cam, lower left of the picture: score 0.1'
    )
    assert (told["how"], told["word_probability"]) == ("generated", 0.5)
    assert bench.last("heartbeat")["explanations"] == {"generated": 1}


@pytest.mark.parametrize("broken", ["speech/begin.onnx", "speech/follow.onnx", "speech/pieces.json"])
def test_a_broken_decode_graph_takes_nothing_but_the_words(broken: str, tmp_path: Path) -> None:
    """The bundle goes live, the alarm is told, the template explains; the missing words are counted."""
    made = SPEAKS | {"extra": speech_files() | {broken: b"{}"}}
    bench = make(tmp_path, made)
    raise_alarm(bench)
    bench.idle(5000)
    assert bench.last("explain/red")["how"] == "template"
    assert bench.last("heartbeat")["explanations"] == {"unavailable": 1, "template": 1}


def test_a_graph_of_another_form_does_not_speak(tmp_path: Path) -> None:
    """Loaded, but not what the manifest says: its names are looked at, and it is tried once."""
    files = speech_files()
    bench = make(tmp_path, SPEAKS | {"extra": files | {"speech/follow.onnx": files["speech/begin.onnx"]}})
    bench.idle(2000)
    assert bench.last("heartbeat")["explanations"] == {"unavailable": 1}


def test_an_explanation_is_evidence_for_nothing(tmp_path: Path) -> None:
    """The same frames with and without: every flag, value, alarm and state says the same, qualities included."""
    said = []
    for name, enabled in (("with", True), ("without", False)):
        bench = make(tmp_path / name, explain={"enabled": enabled})
        bench.time.step_ns = 0  # an explanation reads the clock, which moves a fake one on
        for _ in range(4):
            bench.frame(DARK)
            bench.frame(spot())
            bench.idle(3000)
        topics = ("flag/red", "value/red", "alarm/red", "state", "event")
        said.append([{**body, "seq": None} for topic in topics for body in bench.take(topic)])
        assert bool(bench.take("explain/red")) is enabled
    assert said[0] == said[1]


def test_explain_is_a_command_with_every_commands_rules(tmp_path: Path) -> None:
    """For a standing alarm it is done, for a stale occurrence refused; asked, answered and journalled like any other."""
    bench = make(tmp_path)
    assert bench.command("explain", alarm_id="red")["code"] == "not_allowed", "nothing stands"
    alarm = raise_alarm(bench)
    bench.idle(5000)
    stale = bench.command("explain", alarm_id="red", occurrence_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert (stale["ok"], stale["code"]) == (False, "stale_occurrence")
    assert len(bench.take("explain/red")) == 1
    done = bench.command("explain", alarm_id="red", occurrence_id=alarm["occurrence_id"], comment="what is it?")
    assert (done["ok"], done["code"]) == (True, "ok")
    bench.idle(5000)
    assert len(bench.take("explain/red")) == 2
    assert bench.command("explain", alarm_id="nosuch")["code"] == "unknown_alarm"
    assert bench.command("explain", alarm_id="cam-silent")["code"] == "not_allowed"
    assert bench.command("explain")["code"] == "bad_request"
    journal = [event for event in bench.take("event") if event["subject"] == "explain"]
    assert [event["what"] for event in journal] == [
        "not_allowed",
        "stale_occurrence",
        "ok",
        "unknown_alarm",
        "not_allowed",
        "bad_request",
    ]
    assert (journal[2]["user"], journal[2]["detail"]) == ("op", "red: ok. what is it?")


def test_with_explanations_off_nobody_explains(tmp_path: Path) -> None:
    """And the command says so."""
    bench = make(tmp_path, explain={"enabled": False})
    raise_alarm(bench)
    bench.idle(5000)
    assert not bench.take("explain/red")
    assert bench.command("explain", alarm_id="red")["code"] == "not_allowed"


def test_a_site_that_turns_them_off_while_it_runs_is_obeyed(tmp_path: Path) -> None:
    """After a reload without explanations nobody listens to alarms any more."""
    bench = make(tmp_path)
    off = make_plan(bench.site.model_copy(update={"explain": ExplainSettings(enabled=False)}), site_bundle(bench.site))
    bench.worker = make_worker(prove_plan(off, lambda: 0), make_stages(off, bench.stages), bench.services)
    raise_alarm(bench)
    bench.idle(5000)
    assert not bench.take("explain/red")


def test_sensor_evidence_is_in_the_sentence(tmp_path: Path) -> None:
    """A fault of sensors alone is told by its rules."""
    bench = make(tmp_path)
    bench.reading(9.0)
    bench.idle(500)
    assert bench.last("explain/loose")["text"] == "loose: sensor rule shaking agrees (machine-made)"


def test_a_shelved_alarm_is_not_explained(tmp_path: Path) -> None:
    """Nobody is told of it, so nobody needs a sentence."""
    bench = make(tmp_path, faults=({"id": "red", "camera": "cam", "alarm": ALARM},), sensors=(), rules=())
    raise_alarm(bench)
    bench.idle(5000)
    for _ in range(8):  # the alarm returns on known time
        bench.frame(DARK)
        bench.idle(100)
    occurrence = bench.last("alarm/red")["occurrence_id"]
    assert bench.command("shelve", alarm_id="red", duration_s=600, comment="works")["ok"]
    bench.frame(spot())
    bench.idle(5000)
    assert bench.last("alarm/red")["occurrence_id"] != occurrence
    assert len(bench.take("explain/red")) == 1


# --- the picture beside it --------------------------------------------------------------------------------------------------------------


def test_where_the_site_wants_it_a_picture_goes_with_the_sentence(tmp_path: Path) -> None:
    """Right behind the sentence, which names its hash; with the occurrence in its properties; hot where the fault is, and a picture still."""
    bench = make(tmp_path, **SHOWS)
    alarm = raise_alarm(bench)
    bench.idle(5000)
    told = bench.last("explain/red")
    jsonschema.validate(told, json_schemas()["edge.explain/1"])
    sent = [message for message in bench.sent if message.topic.startswith("p/explain/red")]
    assert [message.topic.rpartition("/")[2] for message in sent] == ["image", "red", "image"]
    gone, _, picture = sent
    assert gone.payload == b"", "nobody knows what an earlier start left"
    assert told["image"]["sha256"] == hashlib.sha256(picture.payload).hexdigest()
    assert (told["image"]["size_bytes"], told["image"]["width"], told["image"]["height"]) == (
        len(picture.payload),
        96,
        96,
    )
    properties = dict(picture.user_properties)
    assert (properties["occurrence_id"], properties["machine_made"]) == (alarm["occurrence_id"], "true")
    assert properties["ts"] == told["ts"]
    drawn = decode_rgb(picture.payload).astype(int)
    assert np.abs(drawn - decode_rgb(spot())).sum(axis=2)[60:92, 4:36].mean() > 30
    assert drawn[5:40, 60:90].max() < 60, "what is cold is as dark as it was"
    assert bench.last("heartbeat")["explanations"] == {"template": 1, "image": 1}


@pytest.mark.parametrize(
    "site",
    [
        {},
        {"explain": {"enabled": True, "image": False}, "cameras": ({"id": "cam", "snapshot": True},)},
        SHOWS | {"cameras": ({"id": "cam"}, {"id": "other", "snapshot": True})},
    ],
    ids=["by default", "off", "not of this camera"],
)
def test_no_picture_leaves_a_site_that_did_not_ask_for_it(site: dict[str, Any], tmp_path: Path) -> None:
    """Pictures can show people: both the explanations and the camera itself must say that they may."""
    bench = make(tmp_path, **site)
    raise_alarm(bench)
    bench.idle(5000)
    assert bench.last("explain/red")["image"] is None
    assert not any(message.payload for message in pictures(bench))
    assert bench.last("heartbeat")["explanations"] == {"template": 1}


def test_a_newer_sentence_without_a_picture_takes_the_older_picture_away(tmp_path: Path) -> None:
    """The whole picture is red now: there is no place to show, and the spot of before is not it."""
    bench = make(tmp_path, **SHOWS)
    raise_alarm(bench)
    bench.idle(5000)
    for _ in range(8):  # the alarm returns on known time
        bench.frame(DARK)
        bench.idle(100)
    bench.frame(flat_jpeg(255, 0, 0))
    bench.idle(5000)
    first, second = bench.take("explain/red")
    assert first["occurrence_id"] != second["occurrence_id"]
    assert second["image"] is None
    assert [bool(message.payload) for message in pictures(bench)] == [False, True, False]


def test_how_long_a_picture_takes_is_tried_before_the_first(tmp_path: Path) -> None:
    """Every kind of step, so that not even the first one is begun where it does not fit; where no pictures are wanted nothing is tried."""
    bench = make(tmp_path, **SHOWS)
    bundle, squares = open_bundle(tmp_path), (number * number for number in itertools.count())
    took_ns = rehearse_painting(bench.site, bundle, lambda: next(squares))  # each step takes longer than the one before
    assert list(took_ns) == ["preview", "draw", "encode"]
    assert took_ns["preview"] == 1
    assert took_ns["preview"] < took_ns["draw"] < took_ns["encode"]
    assert rehearse_painting(make(tmp_path).site, bundle, lambda: next(squares)) == {}


def test_the_largest_picture_that_a_site_can_ask_for_can_be_tried(tmp_path: Path) -> None:
    """It is larger than what a camera may send, and no reason not to start."""
    bench = make(tmp_path, **SHOWS | {"explain": {"enabled": True, "image": True, "image_px": 1920}})
    assert rehearse_painting(bench.site, open_bundle(tmp_path), itertools.count().__next__)

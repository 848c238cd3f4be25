"""Tests of the demo's eyes: messages become samples in line time, latencies and a story."""

from __future__ import annotations

import json

import pytest

from edge.frame import Verdict
from edge.wire.envelope import Incoming
from edge.wire.requests import Reply
from examples.demo.story import CHANNELS, line_settings
from examples.demo.watch import Watch
from examples.line.line import Line
from tests.examples.demo.test_view import PREFIX, flag

FPS = 25.0


def sent(watch: Watch, *indices: int) -> None:
    """The plant's account of some frames."""
    for index in indices:
        watch.on_plant_line(
            json.dumps({"event": "frame", "index": index, "ns": (index + 1) * 40_000_000, "bytes": 5, "readings": {}})
        )


@pytest.fixture
def watch() -> Watch:
    """A watch over a line that nothing has left yet."""
    return Watch(Line(line_settings(CHANNELS, seed=1, fps=FPS), 200), CHANNELS, PREFIX)


def test_a_flag_belongs_to_the_moment_of_its_frame(watch: Watch) -> None:
    """Frame number 3 of the daemon is the third that was handed over, even when the plant had to leave one out."""
    sent(watch, 0, 2, 3)
    watch.arrived(flag("blocked_lens", Verdict.OK, 0.1, 3, 1))
    assert watch.samples["blocked_lens"][0].t_s == pytest.approx(3 / FPS)


def test_latency_of_a_frame_is_that_of_its_last_flag(watch: Watch) -> None:
    """End to end counts from the camera's hand to the last flag's arrival."""
    sent(watch, 0)
    watch.arrived(flag("blocked_lens", Verdict.OK, 0.1, 1, 1))
    watch.arrived(flag("rust", Verdict.OK, 0.1, 1, 2))
    assert watch.end_to_end_ms() == [pytest.approx(9.0)]


def test_a_missing_flag_is_noticed(watch: Watch) -> None:
    """Flag numbers rise by one over all channels; a repeat after a reconnect is no second flag."""
    sent(watch, 0, 1)
    for number in (1, 2, 2, 4):
        watch.arrived(flag("blocked_lens", Verdict.OK, 0.1, 1, number))
    assert watch.flags_lost() == 1


def test_the_story_tells_true_flags_from_false_ones(watch: Watch) -> None:
    """A flag on the injected fault names its delay; a flag on a good part says that nothing was injected."""
    injection = watch.line.injections[0]
    plan = next(channel for channel in CHANNELS if channel.vision == injection.fault)
    sent(watch, *range(injection.start_frame + 3))
    watch.arrived(flag(plan.id, Verdict.FAULT, 0.9, 1, 1))
    watch.arrived(flag(plan.id, Verdict.OK, 0.1, 2, 2))
    watch.arrived(flag(plan.id, Verdict.FAULT, 0.9, injection.start_frame + 3, 3))
    told = [(note.kind, note.text) for note in watch.notes if note.kind in ("flag", "false")]
    assert [kind for kind, _ in told] == ["false", "flag"]
    assert "80 ms after it came" in told[1][1]


def test_replies_and_cleared_topics(watch: Watch) -> None:
    """A reply is kept under its request; an empty retained message is nothing."""
    watch.arrived(Incoming(f"{PREFIX}/alarm/crack", b"", retained=False, received_ns=0, received_wall_ns=0))
    reply = Reply(request_id="r1", ok=True, code="ok", state="ACK_ALM")
    watch.arrived(Incoming(f"{PREFIX}/res/ack", reply.encode(), retained=False, received_ns=0, received_wall_ns=0))
    assert watch.replies["r1"].ok
    assert watch.alarms == {}

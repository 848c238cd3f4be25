"""Tests of the live view: widths, bars and what a reader must be able to see."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from edge.frame import Quality, Verdict
from edge.wire.envelope import Incoming
from edge.wire.messages import Flag
from examples.demo.story import CHANNELS, line_settings
from examples.demo.view import Screen, bar, draw, fit, ink, plain, spark
from examples.demo.watch import Watch
from examples.line.line import Line

PREFIX = "root/node"
ROOT = Path(__file__).parents[3]


def flag(channel: str, verdict: Verdict, score: float | None, number: int, seq: int) -> Incoming:
    """A flag message as it comes from the daemon."""
    on = {Verdict.FAULT: True, Verdict.OK: False, Verdict.UNKNOWN: None}[verdict]
    message = Flag(
        ch=channel, on=on, verdict=verdict, q=Quality.GOOD, score=score, ts="2026-11-23T23:00:00.000Z", seq=seq,
        cam="cam1", frame_seq=number, frame_ts=None, lat_ms=4.5, met=True,
    )  # fmt: skip
    return Incoming(
        f"{PREFIX}/flag/{channel}",
        message.encode(),
        retained=False,
        received_ns=number * 40_000_000 + 9_000_000,
        received_wall_ns=0,
    )


@pytest.fixture
def watch() -> Watch:
    """A run of which ten frames were sent, nine of them judged good and the last one cracked."""
    seen = Watch(Line(line_settings(CHANNELS, seed=1, fps=25), 100), CHANNELS, PREFIX)
    for index in range(10):
        readings = {"vibration_mm_s": 1.4, "pressure_bar": 6.0, "temperature_c": 46.0, "motor_current_a": 4.2}
        seen.on_plant_line(
            json.dumps(
                {"event": "frame", "index": index, "ns": (index + 1) * 40_000_000, "bytes": 9, "readings": readings}
            )
        )
        seen.arrived(
            flag(
                "blocked_lens",
                Verdict.FAULT if index == 9 else Verdict.OK,
                0.9 if index == 9 else 0.1,
                index + 1,
                index + 1,
            )
        )
    return seen


def test_bars_and_sparks_keep_to_their_cells() -> None:
    """Values beyond the scale are cut off at its ends, never drawn outside."""
    assert [len(bar(share, 7)) for share in (-1.0, 0.0, 0.5, 1.0, 9.0)] == [7] * 5
    assert bar(0.5, 4) == "██  "
    assert spark([-1.0, 0.0, 1.0, 2.0], 0.0, 1.0) == "▁▁██"


def test_escapes_take_no_room() -> None:
    """Cutting and padding count what is seen."""
    text = ink("abcdef", "red")
    assert len(plain(fit(text, 4))) == 4
    assert len(plain(fit(text, 10))) == 10
    assert plain(fit(text, 4)) == "abcd"


@pytest.mark.parametrize(("columns", "rows"), [(92, 27), (110, 40), (200, 60)])
def test_the_screen_fits_the_terminal(watch: Watch, columns: int, rows: int) -> None:
    """No line is wider than the terminal and no screen higher, or redrawing in place would break."""
    for _ in range(60):
        watch.note(
            "line", "something happened that is told in a rather long sentence, longer than any terminal is wide " * 2
        )
    lines = draw(watch, columns=columns, rows=rows)
    assert max(len(plain(line)) for line in lines) <= columns
    assert len(lines) <= max(rows, 34)


def test_a_fault_stands_out(watch: Watch) -> None:
    """The row of a channel shows its verdict, score and latency in words and numbers, not in colour alone."""
    (row,) = [
        plain(line)
        for line in draw(watch, columns=110, rows=40)
        if " blocked lens " in plain(line) and "FAULT" in plain(line)
    ]
    assert "0.90" in row
    assert "4.5 ms" in row


def test_without_a_terminal_it_tells_line_by_line(watch: Watch) -> None:
    """No escape ever reaches a file or a pipe, and nothing is told twice."""
    stream = io.StringIO()
    screen = Screen(stream, live=False, columns=80, rows=24, colour=False)
    screen.show(watch)
    once = stream.getvalue()
    screen.show(watch)
    assert stream.getvalue() == once
    assert "blocked lens" in once
    assert "\x1b" not in once


def test_a_small_terminal_gets_lines_instead_of_a_broken_screen(watch: Watch) -> None:
    """Redrawing in place needs room; without it the demo tells what happens."""
    stream = io.StringIO()
    Screen(stream, live=True, columns=60, rows=20, colour=True).show(watch)
    assert "\x1b" not in stream.getvalue()

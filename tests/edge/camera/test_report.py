"""The status of a camera changes only when something does, so that it is published no oftener."""

from __future__ import annotations

from edge.camera.report import Report
from edge.camera.shot import Shot
from edge.wire.camera import TROUBLE_TEXTS, CameraTrouble

SHOT = Shot(b"\xff\xd8\xff", "jpeg", 1)


def test_it_begins_offline_and_is_online_with_the_first_picture() -> None:
    """What it is like stands beside it; the second picture changes nothing."""
    report = Report(0)
    assert (report.now().state, report.now().reason) == ("offline", CameraTrouble.CONNECTING)
    report.pictured(SHOT, 1, 1_000_000)
    said = report.now()
    assert (said.state, said.reason, said.coding, said.transcoded, said.width) == ("online", None, "jpeg", False, None)
    report.pictured(SHOT, 2, 9_000_000_000)
    assert report.now() is said


def test_a_failure_says_since_when_and_not_again() -> None:
    """The same failure a second later is the same status, with its first time."""
    report = Report(0)
    report.failed(CameraTrouble.UNREACHABLE, "port 554: no answer", 5_000_000_000)
    said = report.now()
    report.failed(CameraTrouble.UNREACHABLE, "port 554: no answer", 6_000_000_000)
    assert report.now() is said
    assert (said.reason, said.ts) == (CameraTrouble.UNREACHABLE, "1970-01-01T00:00:05.000Z")


def test_a_source_that_seems_well_and_gives_nothing_has_stalled() -> None:
    """After the time that was asked for, not before, and until the next picture."""
    report = Report(0)
    report.pictured(SHOT, 0, 0)
    report.watch(100, 100, 1)
    assert report.now().state == "online"
    report.watch(100, 101, 2)
    assert report.now().reason is CameraTrouble.STALLED
    report.pictured(SHOT, 200, 3)
    assert report.now().state == "online"


def test_pictures_that_are_too_large_to_publish_are_no_pictures() -> None:
    """However many come, until one fits."""
    report = Report(0)
    report.pictured(SHOT, 0, 0)
    report.sized(1000, 999, 1)
    report.pictured(SHOT, 1, 1)
    assert (report.now().state, report.now().reason) == ("offline", CameraTrouble.TOO_LARGE)
    report.sized(999, 999, 2)
    assert report.now().state == "online"


def test_every_code_has_words_that_say_what_to_do() -> None:
    """They stand behind the alarm's message."""
    assert set(TROUBLE_TEXTS) == set(CameraTrouble)

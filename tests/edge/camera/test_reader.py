"""The reader keeps a source open for ever: whatever it does, it is tried again, soon but never in a rush."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from edge.camera import reader
from edge.camera.newest import Newest
from edge.camera.reader import Reader
from edge.camera.report import Report
from edge.camera.shot import Shot, SourceFailed
from edge.errors import ConfigError
from edge.wire.camera import CameraTrouble
from tests.stand.brokers import wait_for

SHOT = Shot(b"\xff\xd8\xff", "jpeg", 1)


class Scripted:
    """A source that does something else each time it is opened, the last thing again and again."""

    def __init__(self, *acts: Callable[[], Iterator[Shot | None]]) -> None:
        self._acts = acts
        self.opened = 0

    def shots(self) -> Iterator[Shot | None]:
        """The next act."""
        act = self._acts[min(self.opened, len(self._acts) - 1)]
        self.opened += 1
        yield from act()


def fails(error: Exception) -> Callable[[], Iterator[Shot | None]]:
    """An act that raises."""

    def act() -> Iterator[Shot | None]:
        yield None
        raise error

    return act


def shows(count: int) -> Callable[[], Iterator[Shot | None]]:
    """An act that gives so many pictures and ends."""

    def act() -> Iterator[Shot | None]:
        for _ in range(count):
            yield SHOT

    return act


@pytest.fixture
def read() -> Iterator[Callable[..., tuple[Newest, Report, Reader]]]:
    """Starts a reader on a source; stops it at the end."""
    made: list[Reader] = []

    def start(source: Scripted, fingerprint: Callable[[], object] = lambda: None) -> tuple[Newest, Report, Reader]:
        newest, report = Newest(), Report(0)
        made.append(Reader(source, newest, report, fingerprint))
        made[-1].start()
        return newest, report, made[-1]

    yield start
    for one in made:
        one.stop()
        wait_for(lambda one=one: not one.alive())  # type: ignore[misc] # bound at once


def test_a_source_that_ends_or_fails_is_opened_again(read: Callable[..., tuple[Newest, Report, Reader]]) -> None:
    """Until it gives pictures; then the report says that they come."""
    hung = threading.Event()

    def stays() -> Iterator[Shot | None]:
        yield SHOT
        hung.wait(20)

    source = Scripted(fails(SourceFailed(CameraTrouble.UNREACHABLE, "x")), shows(3), fails(ValueError("no")), stays)
    newest, report, one = read(source)
    wait_for(lambda: source.opened == 4 and report.now().state == "online")
    assert newest.take(1.0) == SHOT
    assert one.opened == 4
    hung.set()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SourceFailed(CameraTrouble.NOT_FOUND, "x"), CameraTrouble.NOT_FOUND),
        (ConfigError("chmod 600"), CameraTrouble.FORBIDDEN),
        (RuntimeError("rtsp://u:hush@cam"), CameraTrouble.INTERNAL),
    ],
)
def test_every_failure_is_said_once_and_nothing_secret_of_it(
    read: Callable[..., tuple[Newest, Report, Reader]],
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    told: CameraTrouble,
) -> None:
    """The log names the code with its words; an exception that nobody expected is shown without its text."""
    caplog.set_level(logging.INFO)
    source = Scripted(fails(error))
    _, report, _ = read(source)
    wait_for(lambda: source.opened >= 3)
    assert report.now().reason is told
    assert caplog.text.count(f"({told.value}:") == 1
    assert "hush" not in caplog.text


def test_pauses_grow_and_stay_below_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that is back is found again in less than two seconds, and one that is gone is not asked all the time."""
    waited: list[float] = []
    one = Reader(Scripted(shows(0)), Newest(), Report(0))
    monkeypatch.setattr(one._stopping, "wait", waited.append)
    for failures in range(12):
        one._pause(CameraTrouble.BUSY, failures)
    assert max(waited) <= reader.LAST_PAUSE_S < 2.0
    assert 0.1 <= waited[0] <= 0.2
    assert min(waited[4:]) >= reader.LAST_PAUSE_S / 2
    one._pause(CameraTrouble.UNREACHABLE, 12)
    assert waited[-1] <= reader.ABSENT_PAUSE_S, "where nobody is, nobody is disturbed"


def test_a_rejected_password_waits_until_the_file_changes(
    read: Callable[..., tuple[Newest, Report, Reader]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cameras lock an account out after a few wrong passwords."""
    monkeypatch.setattr(reader, "LAST_PAUSE_S", 0.02)
    written = [1]
    source = Scripted(fails(SourceFailed(CameraTrouble.UNAUTHORIZED, "401")), shows(1))
    _, report, _ = read(source, lambda: written[0])
    wait_for(lambda: report.now().reason is CameraTrouble.UNAUTHORIZED)
    threading.Event().wait(0.3)
    assert source.opened == 1
    written[0] = 2
    wait_for(lambda: source.opened >= 2)

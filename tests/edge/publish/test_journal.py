"""What happened is on disk before it is said, survives the process, and a bad disk takes nothing but the survival."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edge.frame import Quality
from edge.publish.disk import RETRY_NS
from edge.publish.entry import Entry, EventRecord, PlainState
from edge.publish.journal import HOLD_NS, Journal
from edge.publish.outbox import LIVE_NS
from edge.publish.store import BALLAST, NAME, StorageFullError, Store, rescue
from edge.wire.envelope import Outgoing
from edge.wire.message import timestamp
from edge.wire.messages import Alarm, AlarmAck, AlarmSource, AlarmTimes, Asset, Event

S = 1_000_000_000
WALL_NS = 1_800_000_000 * S
ROOT = Path(__file__).parents[3]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")


class Desk:
    """A journal without its thread: the test turns it, and the clock."""

    def __init__(self, folder: Path | None, wall_ns: int = WALL_NS, *, up: bool = True) -> None:
        self.now_ns = 0
        self.sent: list[Outgoing] = []
        self.numbers = itertools.count(1)
        self.on_send: Callable[[Outgoing], None] = lambda _message: None
        self.journal = Journal(
            folder, prefix="p", send=self._send, monotonic_ns=lambda: self.now_ns, wall_ns=lambda: wall_ns
        )
        if up:
            self.journal.link_up()

    def _send(self, message: Outgoing) -> int:
        self.sent.append(message)
        self.on_send(message)
        return len(self.sent)

    def happen(self, name: str = "crack", state: str = "UNACK_ALM", *, text: str = "") -> None:
        """An alarm moves: one event, its condition, its kept state."""
        event = event_of(self.journal.epoch, next(self.numbers), name, text)
        kept = {f"alarm/{name}": PlainState({"state": state})}
        self.journal.record(Entry(self.now_ns, (event,), (Condition(name, state),), kept))

    def turn(self, after_ns: int = 0) -> None:
        """Time passes, and the journal turns once."""
        self.now_ns += after_ns
        self.journal.turn()

    def events(self) -> list[dict[str, Any]]:
        """The events sent so far."""
        return [json.loads(message.payload) for message in self.sent if message.topic == "p/event"]

    def confirm(self) -> None:
        """The broker confirms everything sent so far."""
        for number in range(1, len(self.sent) + 1):
            self.journal.acknowledged(number, self.now_ns)


def event_of(epoch: int, seq: int, name: str, text: str = "") -> EventRecord:
    """A transition of an alarm."""
    return EventRecord("s", epoch, seq, "alarm", name, "x", WALL_NS, detail=text)


class Condition(NamedTuple):
    """Facts of an alarm's condition."""

    name: str
    state: str

    def message(self) -> Alarm:
        """The condition."""
        return alarm_of(self.name, self.state)


def alarm_of(name: str, state: str) -> Alarm:
    """An alarm's condition."""
    return Alarm(
        id=name,
        occurrence_id=None,
        epoch=1,
        seq=1,
        state=state,
        active=True,
        acked=False,
        latched=False,
        shelving="Unshelved",
        suppressed=False,
        out_of_service=False,
        severity=500,
        priority="Medium",
        kind="process",
        message="m",
        operator_action="o",
        consequence="c",
        quality=Quality.GOOD,
        value=None,
        threshold=None,
        time=AlarmTimes(active=None, acked=None, cleared=None, shelved_until=None, published=timestamp(WALL_NS)),
        source=AlarmSource(camera=None, frame_seq=None, frame_ts=None, model="m", model_sha256="0"),
        asset=Asset(path="", rds_pp=""),
        ack=AlarmAck(user=None, comment=None),
    )


def on_disk(folder: Path) -> tuple[set[tuple[int, int]], Mapping[str, Any]]:
    """What a restart would find: the names of the events, and what is kept."""
    found = rescue(folder)
    assert found is not None
    return {(epoch, seq) for epoch, seq, _, _ in found[1]}, found[2]


# --- order and survival -------------------------------------------------------------------------------------------------------------------


def test_what_is_said_is_on_disk_already(tmp_path: Path) -> None:
    """At the moment of sending, a copy of the folder holds the event and the alarm's state."""
    desk = Desk(tmp_path)
    seen = []

    def look(message: Outgoing) -> None:
        names, kept = on_disk(tmp_path)
        seen.append((message.topic, (desk.journal.epoch, 1) in names, kept))

    desk.on_send = look
    desk.happen("crack", "UNACK_ALM")
    assert desk.sent == []
    desk.turn()
    assert seen == [(topic, True, {"alarm/crack": {"state": "UNACK_ALM"}}) for topic in ("p/event", "p/alarm/crack")]


def test_a_restart_finds_states_and_unconfirmed_events(tmp_path: Path) -> None:
    """The newest state of each alarm comes back; what was not confirmed is said again as history, what was is not."""
    first = Desk(tmp_path)
    first.happen("crack", "UNACK_ALM")
    first.turn()
    first.confirm()
    first.happen("crack", "ACK_ALM")
    first.happen("dent", "UNACK_ALM")
    first.turn()
    first.journal.stop()
    second = Desk(tmp_path)
    assert second.journal.restored == {"alarm/crack": {"state": "ACK_ALM"}, "alarm/dent": {"state": "UNACK_ALM"}}
    second.turn(S)
    assert [(event["epoch"], event["seq"], event["historical"]) for event in second.events()] == [
        (first.journal.epoch, 2, True),
        (first.journal.epoch, 3, True),
    ]


@pytest.mark.parametrize("wall_ns", [WALL_NS, WALL_NS - 1000 * S, 0])
def test_the_epoch_rises_whatever_the_clock_says(tmp_path: Path, wall_ns: int) -> None:
    """A clock that was set back, or starts in 1970, does not bring an old epoch back; without a disk it follows the clock."""
    first = Desk(tmp_path)
    first.journal.stop()
    second = Desk(tmp_path, wall_ns)
    assert second.journal.epoch == first.journal.epoch + 1
    second.journal.stop()
    assert Desk(tmp_path, wall_ns).journal.epoch == first.journal.epoch + 2
    assert Desk(None, wall_ns).journal.epoch == wall_ns // S


def test_the_epoch_rises_past_one_that_was_raised_on_the_way(tmp_path: Path) -> None:
    """The broker kept a higher one, and events were numbered in it: the next start is not below them."""
    first = Desk(tmp_path)
    first.journal.renumber(first.journal.epoch + 500)
    raised = first.journal.epoch
    first.happen()
    first.turn()
    first.journal.stop()
    assert first.journal.stats().epoch == raised
    assert Desk(tmp_path).journal.epoch == raised + 1


def test_a_broker_that_forgot_after_a_restart_hears_the_window(tmp_path: Path) -> None:
    """Also what an earlier start had confirmed: the same power cut may have hit both."""
    first = Desk(tmp_path)
    first.happen()
    first.turn()
    first.confirm()
    first.journal.stop()
    second = Desk(tmp_path, up=False)
    second.journal.session_lost()
    second.journal.link_up()
    second.turn(S)
    assert [(event["seq"], event["historical"]) for event in second.events()] == [(1, True)]


def test_a_text_cannot_forge_the_history_mark(tmp_path: Path) -> None:
    """An operator's comment that looks like the field stays what it is."""
    first = Desk(tmp_path)
    text = '"historical":false'
    first.happen(text=text)
    first.turn()
    first.journal.stop()
    second = Desk(tmp_path)
    second.turn(S)
    assert [(event["historical"], event["detail"]) for event in second.events()] == [(True, text)]


def test_conditions_that_could_not_be_said_are_said_first_later() -> None:
    """The newest condition of each alarm waits for the connection; older ones are not said any more."""
    desk = Desk(None, up=False)
    desk.happen("crack", "UNACK_ALM")
    desk.happen("crack", "ACK_ALM")
    desk.turn()
    assert desk.sent == []
    desk.now_ns += LIVE_NS + 1
    desk.journal.link_up()
    for _ in range(4):
        desk.turn(S)
    assert [message.topic for message in desk.sent] == ["p/alarm/crack", "p/event", "p/event"]
    assert json.loads(desk.sent[0].payload)["state"] == "ACK_ALM"


def test_what_is_forgotten_on_purpose_is_gone(tmp_path: Path) -> None:
    """An alarm that was taken out of the site leaves no state behind."""
    first = Desk(tmp_path)
    first.happen()
    first.turn()
    first.journal.record(Entry(0, kept={"alarm/crack": None}))
    first.turn()
    first.journal.stop()
    assert Desk(tmp_path).journal.restored == {}


WRITER = """
import sys, time
from pathlib import Path
from edge.publish.journal import Journal
from tests.edge.publish.test_journal import Entry, PlainState, event_of
def send(message):
    if message.topic == "p/event":
        sys.stdout.write(message.payload.decode() + "\\n"); sys.stdout.flush()
    return id(message)
journal = Journal(Path(sys.argv[1]), prefix="p", send=send, monotonic_ns=time.monotonic_ns, wall_ns=time.time_ns)
journal.link_up(); journal.start()
for seq in range(1, 1_000_000):
    journal.record(Entry(time.monotonic_ns(), (event_of(journal.epoch, seq, "crack"),), (), {"alarm/crack": PlainState({"seq": seq})}))
    time.sleep(0.001)
"""


@pytest.mark.slow
def test_nothing_that_was_said_is_lost_by_kill_9(tmp_path: Path) -> None:
    """Five times killed at a random moment: every event that left the process is on disk, epochs rise, names never repeat."""
    said: list[tuple[int, int]] = []
    chance = random.Random(4)
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        threading.Timer(chance.uniform(0.05, 0.3), process.send_signal, [signal.SIGKILL]).start()
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        said += [(event["epoch"], event["seq"]) for event in whole if not event["historical"]]
        names, kept = on_disk(tmp_path)
        assert set(said) <= names
        assert kept["alarm/crack"]["seq"] >= max(seq for epoch, seq in said if epoch == max(said)[0])
    assert len(said) == len(set(said)) > 20
    assert len({epoch for epoch, _ in said}) == 5


@pytest.fixture(scope="module")
def power_cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that keeps only what was synced; see its source."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: `apt-get install gcc` to play power cuts")
    built = tmp_path_factory.mktemp("shim") / "power_cut.so"
    source = Path(__file__).parent / "shims" / "power_cut.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.mark.slow
@pytest.mark.parametrize("level", ["FULL", "NORMAL"])
def test_nothing_that_was_said_is_lost_by_a_power_cut(level: str, tmp_path: Path, power_cut: Path) -> None:
    """Five power cuts: every event that left the process had been synced before. With less than FULL it had not, so the test can fail."""
    writer = (
        WRITER if level == "FULL" else "import edge.publish.store\nedge.publish.store.SYNCHRONOUS = 'NORMAL'\n" + WRITER
    )
    lost = 0
    for number in range(5):
        live, after = tmp_path / f"live{number}", tmp_path / f"after{number}"
        after.mkdir()
        environment = os.environ | {"LD_PRELOAD": str(power_cut), "PW_FROM": str(live), "PW_TO": str(after)}
        process = subprocess.Popen(
            [sys.executable, "-c", writer, str(live)], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(30)]
        process.kill()
        lines += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        said = {(event["epoch"], event["seq"]) for line in lines if line.endswith("\n") for event in [json.loads(line)]}
        found = rescue(after)
        survived = {(epoch, seq) for epoch, seq, _, _ in found[1]} if found else set()
        lost += len(said - survived)
    assert (lost == 0) is (level == "FULL"), lost


# --- bad disks ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path) -> Path:
    hog = folder / "hog"
    with hog.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    return hog


@needs_root
def test_a_full_disk_costs_first_the_reserve_then_the_survival_and_comes_back(small_disk: Path) -> None:
    """Full: written on from the reserve. Full again: alarms go on from memory, and it says so. Room again: everything is on disk again."""
    desk = Desk(small_disk)
    desk.happen()
    desk.turn()
    assert desk.journal.stats().storage == "ok"
    hog = _fill(small_disk)
    while desk.journal.stats().storage == "ok":
        desk.happen(text="x" * 900)
        desk.turn()
    assert desk.journal.stats().storage == "low"
    assert "make room" in desk.journal.stats().reason
    said = len(desk.events())
    assert {(desk.journal.epoch, number) for number in range(1, said + 1)} == on_disk(small_disk)[0]
    _fill(small_disk)
    while desk.journal.stats().storage == "low":
        desk.happen(text="x" * 900)
        desk.turn()
    assert desk.journal.stats().storage == "memory"
    desk.happen("dent", "UNACK_ALM")
    desk.turn()
    assert [message.topic for message in desk.sent[-2:]] == ["p/event", "p/alarm/dent"]
    hog.unlink()
    desk.turn(RETRY_NS)
    desk.turn(2 * S)
    assert desk.journal.stats().storage == "ok"
    assert desk.journal.stats().reason == ""
    names, kept = on_disk(small_disk)
    assert names == {(desk.journal.epoch, event["seq"]) for event in desk.events()}
    assert kept["alarm/dent"] == {"state": "UNACK_ALM"}
    assert [event["seq"] for event in desk.events()] == list(range(1, len(desk.events()) + 1))


@needs_root
def test_a_disk_that_stays_full_is_said_once(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file can be opened and not written: that is not "on disk again", and the alarm about it does not flicker."""
    caplog.set_level("INFO", "edge.publish.disk")
    desk = Desk(small_disk)
    _fill(small_disk)
    while desk.journal.stats().storage != "memory":
        desk.happen(text="x" * 900)
        desk.turn()
        _fill(small_disk)
    caplog.clear()
    for _ in range(10):
        desk.happen(text="x" * 900)
        desk.turn(RETRY_NS)
        assert desk.journal.stats().storage == "memory"
    assert caplog.messages == []
    (small_disk / "hog").unlink()
    desk.turn(RETRY_NS)
    assert caplog.messages == ["journal: on disk again"]
    assert desk.journal.stats().storage == "ok"


@needs_root
@pytest.mark.parametrize("temporary", [True, False])
def test_a_read_only_disk_is_read_and_not_written(
    tmp_path: Path,
    small_disk: Path,
    temporary: bool,  # noqa: FBT001 - a test parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A daemon that starts on it knows its alarms, works from memory with a higher epoch, and writes when it may again.

    So it does on a machine where everything is read-only, and no copy can be made anywhere.
    """
    first = Desk(tmp_path / "first")
    first.happen("crack", "ACK_ALM")
    first.turn()
    for suffix in ("", "-wal"):  # as after kill -9: what it wrote is still in the write-ahead log
        shutil.copy(tmp_path / "first" / f"{NAME}{suffix}", small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with monkeypatch.context() as patch:
        if not temporary:
            patch.setattr(tempfile, "tempdir", str(small_disk))
        second = Desk(small_disk)
    assert second.journal.restored == {"alarm/crack": {"state": "ACK_ALM"}}
    assert second.journal.epoch == first.journal.epoch + 1
    assert second.journal.stats().storage == "memory"
    second.happen("crack", "NORM")
    second.turn()
    assert second.sent[-1].topic == "p/alarm/crack"
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    second.turn(RETRY_NS)
    assert second.journal.stats().storage == "ok"
    assert on_disk(small_disk)[1] == {"alarm/crack": {"state": "NORM"}}


def test_a_folder_that_vanishes_is_noticed_and_made_again(tmp_path: Path) -> None:
    """SQLite would write on into the deleted file for ever."""
    folder = tmp_path / "state"
    desk = Desk(folder)
    desk.happen()
    desk.turn()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    desk.happen()
    desk.turn(2 * S)
    assert desk.journal.stats().storage == "memory"
    desk.turn(RETRY_NS)
    assert desk.journal.stats().storage == "ok"
    assert len(on_disk(folder)[0]) == 2


def test_a_folder_that_cannot_be_is_survived(tmp_path: Path) -> None:
    """A path through a file: memory, with a reason that names the path."""
    (tmp_path / "file").write_text("x")
    desk = Desk(tmp_path / "file" / "state")
    desk.happen()
    desk.turn()
    assert len(desk.sent) == 2
    assert desk.journal.stats().storage == "memory"
    assert str(tmp_path) in desk.journal.stats().reason


@pytest.mark.parametrize("spoil", ["rubbish", "truncated", "one page"])
def test_a_damaged_journal_is_put_aside(tmp_path: Path, spoil: str, caplog: pytest.LogCaptureFixture) -> None:
    """Counted, kept for people to look at, and a new one is begun; a second damaged one replaces the first."""
    first = Desk(tmp_path)
    for _ in range(200):
        first.happen(text="x" * 200)
    first.turn()
    first.journal.stop()
    path = tmp_path / NAME
    content = bytearray(path.read_bytes())
    if spoil == "rubbish":
        content[:] = b"rubbish" * 1000
    elif spoil == "truncated":
        del content[len(content) // 2 :]
    else:
        content[4096:8192] = bytes(4096)
    path.write_bytes(content)
    (tmp_path / f"{NAME}.damaged-1").write_text("an older one")
    second = Desk(tmp_path)
    second.happen()
    second.turn()
    stats = second.journal.stats()
    assert (stats.storage, stats.set_aside) == ("ok", 1)
    assert "Look at the alarms" in stats.reason
    assert stats.reason in caplog.text
    assert len(list(tmp_path.glob(f"{NAME}.damaged-*"))) == 1
    assert on_disk(tmp_path)[0] == {(second.journal.epoch, 1)}


def test_a_damaged_journal_is_said_also_if_no_new_one_can_be_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged and full at once: what is lost is counted before the disk is back, and stays said when it is."""
    (tmp_path / NAME).write_bytes(b"rubbish" * 1000)
    with monkeypatch.context() as patch:
        patch.setattr("edge.publish.disk.Store", _damaged_then_full)
        desk = Desk(tmp_path)
    assert (desk.journal.stats().storage, desk.journal.stats().set_aside) == ("memory", 1)
    desk.turn(RETRY_NS)
    assert (desk.journal.stats().storage, desk.journal.stats().set_aside) == ("ok", 1)
    assert "Look at the alarms" in desk.journal.stats().reason


def _damaged_then_full(folder: Path) -> Store:
    if (folder / NAME).exists():
        return Store(folder)
    raise StorageFullError("disk full")


def test_a_second_daemon_on_the_same_folder_stays_out(tmp_path: Path) -> None:
    """It works from memory and says that the file is locked; the first one is not disturbed."""
    first = Desk(tmp_path)
    second = Desk(tmp_path)
    assert second.journal.stats().storage == "memory"
    assert "locked" in second.journal.stats().reason
    first.happen()
    first.turn()
    assert first.journal.stats().storage == "ok"


class HangingDisk:
    """A store whose disk does not answer until it is let go; everything else is the real one's."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.hangs = threading.Event()
        self.answers = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, *arguments: Any, **named: Any) -> None:
        """Hang, then write."""
        self.hangs.set()
        assert self.answers.wait(30)
        self._store.write(*arguments, **named)


def test_a_disk_that_hangs_holds_no_alarm_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second alarms are told without it, in order; when it answers again, everything is written."""
    sent: list[Outgoing] = []
    journal = Journal(
        tmp_path,
        prefix="p",
        send=lambda message: sent.append(message) or len(sent),  # type: ignore[func-returns-value] # append gives None
        monotonic_ns=time.monotonic_ns,
        wall_ns=lambda: WALL_NS,
    )
    assert journal._disk._store is not None
    disk = HangingDisk(journal._disk._store)
    journal._disk._store = disk  # type: ignore[assignment] # stands in front of the real one
    journal.link_up()
    journal.start()
    journal.record(Entry(0, kept={"alarm/0": PlainState({"seq": 0})}))
    assert disk.hangs.wait(10), "the thread hangs in the disk"
    began_ns = journal._disk_began_ns or 0
    monkeypatch.setattr("edge.publish.journal.MAX_UNWRITTEN", 100)
    total = 150
    for seq in range(1, total + 1):
        kept = {f"alarm/{seq % 7}": PlainState({"seq": seq})}
        journal.record(Entry(time.monotonic_ns(), (event_of(journal.epoch, seq, "crack"),), (), kept))
    journal.relieve(began_ns + HOLD_NS - 1)
    assert sent == []
    for _ in range(total):
        journal.relieve(began_ns + HOLD_NS + S)
    assert [json.loads(message.payload)["seq"] for message in sent] == list(range(1, total + 1))
    assert journal.stats().storage == "memory"
    assert "does not answer" in journal.stats().reason
    disk.answers.set()
    journal.stop(10)
    names, kept_states = on_disk(tmp_path)
    assert names == {(journal.epoch, seq) for seq in range(1, total + 1)}
    assert {state["seq"] for state in kept_states.values()} == set(range(total - 6, total + 1))
    assert len(sent) == total


class MomentOf:
    """A store whose next write does something first, on the thread that writes."""

    def __init__(self, store: Store, moment: Callable[[], None]) -> None:
        self._store = store
        self._moment = moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, *arguments: Any, **named: Any) -> None:
        """The moment, then the write."""
        self._moment()
        self._store.write(*arguments, **named)


def test_a_disk_that_answers_while_its_backlog_is_told_ends_nothing() -> None:
    """The journal's thread empties the queue at the very moment when the inference thread has looked at it: each event is told once, in order."""
    sent: list[int] = []
    all_told, answers, hangs = threading.Event(), threading.Event(), threading.Event()
    total = 3

    def send(message: Outgoing) -> int:
        sent.append(json.loads(message.payload)["seq"])
        if len(sent) == total:
            all_told.set()
        return len(sent)

    journal = Journal(None, prefix="p", send=send, monotonic_ns=time.monotonic_ns, wall_ns=lambda: WALL_NS)

    def write(*_arguments: Any, **_named: Any) -> None:
        hangs.set()
        assert answers.wait(10)

    journal._disk.write = write  # type: ignore[method-assign] # a disk that hangs and answers when told

    class Late(EventRecord):
        """An event during whose encoding by the inference thread the disk answers."""

        def message(self) -> Event:
            """Wait until the other thread is through, which encoded it before."""
            if threading.current_thread() is threading.main_thread():
                answers.set()
                assert all_told.wait(10), "the journal's thread told everything, because nothing holds it up"
            return super().message()

    journal.link_up()
    for seq in range(1, total + 1):
        journal.record(Entry(0, (Late(*event_of(journal.epoch, seq, "crack")),)))
    journal.start()
    assert hangs.wait(10)
    journal.relieve(time.monotonic_ns() + 2 * HOLD_NS)
    assert answers.is_set(), "the queue was looked at while the disk hung"
    assert sent == [1, 2, 3]
    journal.stop()


def test_the_clock_of_the_disk_starts_with_the_write(tmp_path: Path) -> None:
    """Events that take two seconds to encode make no hanging disk: nothing is told before it is on the disk, until the disk has had its second."""
    desk = Desk(tmp_path)
    told_after: list[int] = []

    class SlowEvent(EventRecord):
        """Two seconds to encode."""

        def message(self) -> Event:
            """After two seconds."""
            desk.now_ns += 2 * HOLD_NS
            return super().message()

    class SlowState(PlainState):
        """Two seconds to encode."""

        def to_dict(self) -> Mapping[str, Any]:
            """After two seconds."""
            desk.now_ns += 2 * HOLD_NS
            return super().to_dict()

    def moment() -> None:
        for after_ns in (0, HOLD_NS - 1, 1):
            desk.now_ns += after_ns
            moment_ns = desk.now_ns
            desk.journal.relieve(moment_ns)
            desk.now_ns = moment_ns  # `relieve` encodes too
            told_after.append(len(desk.events()))

    assert desk.journal._disk._store is not None
    desk.journal._disk._store = MomentOf(desk.journal._disk._store, moment)  # type: ignore[assignment] # stands in front of the real one
    event = SlowEvent(*event_of(desk.journal.epoch, 1, "crack"))
    desk.journal.record(Entry(0, (event,), (), {"alarm/crack": SlowState({"state": "UNACK_ALM"})}))
    desk.turn()
    assert told_after == [0, 0, 1]


def hammer(duration_s: float, *strikes: Callable[[], None]) -> list[BaseException]:
    """Call each of them again and again on a thread of its own; returns what they raised."""
    end_s, failures = time.monotonic() + duration_s, list[BaseException]()

    def work(strike: Callable[[], None]) -> None:
        try:
            while time.monotonic() < end_s:
                strike()
        except BaseException as error:  # noqa: BLE001 - the test shows it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(strike,)) for strike in strikes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_two_threads_and_a_disk_that_hangs_now_and_then_tell_each_event_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second and a half of everything that threads do to a journal at once."""
    monkeypatch.setattr("edge.publish.journal.HOLD_NS", 100_000)
    sent: list[int] = []
    numbers: deque[int] = deque()

    def send(message: Outgoing) -> int:
        sent.append(json.loads(message.payload)["seq"])
        numbers.append(len(sent))
        return len(sent)

    journal = Journal(tmp_path, prefix="p", send=send, monotonic_ns=time.monotonic_ns, wall_ns=lambda: WALL_NS)
    chance = random.Random(29)
    assert journal._disk._store is not None
    store = MomentOf(journal._disk._store, lambda: time.sleep(chance.choice((0.0, 0.0005, 0.003))))
    journal._disk._store = store  # type: ignore[assignment] # stands in front of the real one
    journal.link_up()
    journal.start()
    recorded = itertools.count(1)

    class Slow(EventRecord):
        """An event on a small processor: the other threads get their turn while it is encoded."""

        def message(self) -> Event:
            """After a short sleep."""
            time.sleep(0.0001)
            return super().message()

    def happen() -> None:
        for _ in range(chance.randrange(8)):
            event = Slow(*event_of(journal.epoch, next(recorded), "crack"))
            journal.record(Entry(0, (event,), (), {"alarm/c": PlainState({})}))
        for _ in range(6):
            journal.relieve(time.monotonic_ns())
            time.sleep(0.0005)
        journal.fell_behind()
        journal.stats()

    def confirm() -> None:
        while numbers:
            journal.acknowledged(numbers.popleft(), time.monotonic_ns())
        time.sleep(0.0002)

    failures = hammer(1.5, happen, confirm)
    journal.stop(10)
    assert failures == []
    total = next(recorded) - 1
    assert total > 300
    assert sent == list(range(1, total + 1))
    assert on_disk(tmp_path)[0] == {(journal.epoch, seq) for seq in sent}


def test_the_newest_state_wins_also_when_a_hanging_disk_and_a_flood_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States of shed events wait in one entry; when that is told early, later ones do not slip into it, in front of what came between."""
    monkeypatch.setattr("edge.publish.journal.MAX_PENDING", 10)
    desk = Desk(tmp_path)

    def keep(version: int, times: int = 1) -> None:
        for _ in range(times):
            desk.journal.record(Entry(0, kept={"alarm/crack": PlainState({"version": version})}))

    def moment() -> None:
        assert desk.journal._disk._store is not None
        desk.journal._disk._store = desk.journal._disk._store._store  # type: ignore[attr-defined] # only this write
        keep(1, 12)  # ten, and two whose states wait in one entry more
        desk.journal.relieve(desk.now_ns + HOLD_NS)
        keep(2, 10)
        keep(3)

    assert desk.journal._disk._store is not None
    desk.journal._disk._store = MomentOf(desk.journal._disk._store, moment)  # type: ignore[assignment] # stands in front of the real one
    keep(0)
    desk.turn()
    desk.turn()
    assert on_disk(tmp_path)[1] == {"alarm/crack": {"version": 3}}


def test_events_alone_are_written_too_when_very_many_were_told_without_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands change no alarm's state, so their entries hold events only: past the bound of what is owed the disk gets all of them anew."""
    monkeypatch.setattr("edge.publish.journal.MAX_UNWRITTEN", 5)
    desk = Desk(tmp_path)

    def moment() -> None:
        assert desk.journal._disk._store is not None
        desk.journal._disk._store = desk.journal._disk._store._store  # type: ignore[attr-defined] # only this write
        for _ in range(10):
            event = event_of(desk.journal.epoch, next(desk.numbers), "ack")
            desk.journal.record(Entry(desk.now_ns, (event,)))
        desk.journal.relieve(desk.now_ns + HOLD_NS)

    assert desk.journal._disk._store is not None
    desk.journal._disk._store = MomentOf(desk.journal._disk._store, moment)  # type: ignore[assignment] # stands in front of the real one
    desk.happen()
    desk.turn()
    assert len(desk.events()) == 11
    desk.turn()
    assert {seq for _, seq in on_disk(tmp_path)[0]} == set(range(1, 12))


def test_what_cannot_be_encoded_holds_nothing_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An event, a condition and two states that fail, each once: counted, logged once, and everything behind them is told and on the disk."""
    desk = Desk(tmp_path)
    event = event_of(desk.journal.epoch, next(desk.numbers), "crack")._replace(kind="rumour")  # type: ignore[arg-type] # a fault of this program
    kept_states = {"bad": PlainState({"x": float("nan")}), "worse": PlainState({"x": object()})}
    desk.journal.record(Entry(0, (event,), (Condition("crack", "\ud800"),), kept_states))
    desk.happen()
    desk.turn()
    assert [message.topic for message in desk.sent] == ["p/event", "p/alarm/crack"]
    names, kept = on_disk(tmp_path)
    assert (len(names), kept) == (1, {"alarm/crack": {"state": "UNACK_ALM"}})
    assert desk.journal.stats().lost == 1
    assert desk.journal.stats().storage == "ok"
    told = [record.exc_info is not None for record in caplog.records]
    assert told == [True] * 4, "each of the four"


def test_a_write_that_fails_in_a_way_nobody_thought_of_is_a_lost_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told all the same, the storage says so, and when it works again everything is written."""
    desk = Desk(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "write", lambda *_, **__: 1 // 0)
        desk.happen()
        desk.turn()
    assert len(desk.events()) == 1
    assert desk.journal.stats().storage == "memory"
    assert desk.journal._disk_began_ns is None, "a write that ended does not hang"
    desk.turn(RETRY_NS)
    assert desk.journal.stats().storage == "ok"
    assert len(on_disk(tmp_path)[0]) == 1


def test_what_nobody_can_take_is_shed_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood beyond all bounds costs events, which are counted, and never memory or an alarm's newest state; conditions are to be said anew."""
    monkeypatch.setattr("edge.publish.journal.MAX_PENDING", 50)
    desk = Desk(tmp_path)
    for _ in range(50):
        desk.happen("crack", "UNACK_ALM")
    desk.happen("crack", "ACK_ALM")
    assert not desk.journal.fell_behind()
    desk.turn()
    assert [desk.journal.fell_behind() for _ in range(2)] == [True, False]
    assert desk.journal.stats().lost == 1
    assert on_disk(tmp_path)[1] == {"alarm/crack": {"state": "ACK_ALM"}}


def test_a_storm_is_written_and_told_a_batch_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its first alarm does not wait for its last; what is left at the end is written all the same."""
    monkeypatch.setattr("edge.publish.journal.BATCH", 10)
    desk = Desk(tmp_path)
    for _ in range(34):
        desk.happen()
    assert desk.journal.turn() == 0.0
    assert len(desk.events()) == 10
    desk.journal.start()
    desk.journal.stop(10.0)
    assert len(desk.events()) == 34
    assert len(on_disk(tmp_path)[0]) == 34
    assert desk.journal.stats().lost == 0


def test_the_reserve_is_really_on_the_disk(tmp_path: Path) -> None:
    """Its blocks are allocated: a sparse file would free nothing."""
    desk = Desk(tmp_path)
    status = (tmp_path / BALLAST).stat()
    assert status.st_blocks * 512 >= status.st_size > 0
    desk.journal.stop()


def test_confirmations_reach_the_disk_within_a_second_or_two(tmp_path: Path) -> None:
    """So that a restart does not say everything again."""
    desk = Desk(tmp_path)
    desk.happen()
    desk.turn()
    desk.confirm()
    desk.turn(2 * S)
    found = rescue(tmp_path)
    assert found is not None
    assert [done for _, _, _, done in found[1]] == [True]

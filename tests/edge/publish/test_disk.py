"""The file follows what the journal knows, and a disk that fails is lost, said, and written rewrite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.publish.disk import RETRY_NS, Disk
from edge.publish.outbox import Changes
from edge.publish.store import Row, rescue

EPOCH = 1_800_000_000


class Bench:
    """A disk whose clock and other events the test sets."""

    def __init__(self, folder: Path | None) -> None:
        self.now_ns = 0
        self.known: list[Row] = []
        self.disk = Disk(folder, lambda: self.now_ns)
        self.found = self.disk.begin(EPOCH)

    def write(self, *rows: Row, rewrite: bool = False, last: bool = False) -> None:
        """Bring the file up to these rows, or to everything."""
        self.disk.write(rows, Changes(), self.now_ns, lambda: self.known, rewrite=rewrite, last=last)


def row(seq: int) -> Row:
    """An event that nobody confirmed."""
    return (EPOCH, seq, b"{}", False)


def on_disk(folder: Path) -> tuple[list[int], Any]:
    """Numbers of the events in the file, and what is kept."""
    found = rescue(folder)
    assert found is not None
    return [seq for _, seq, _, _ in found[1]], found[2]


def test_another_start_finds_events_and_states_under_a_higher_number(tmp_path: Path) -> None:
    """Also with a wall clock that was set back to the same second."""
    first = Bench(tmp_path)
    first.disk.keep("alarm/crack", {"state": "UNACK_ALM"})
    first.write(row(1), row(2))
    first.disk.close()
    second = Bench(tmp_path)
    assert (first.found, second.found) == ([], [row(1), row(2)])
    assert (first.disk.epoch, second.disk.epoch) == (EPOCH, EPOCH + 1)
    assert second.disk.kept == {"alarm/crack": {"state": "UNACK_ALM"}}


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": object()}], ids=["no number", "no data"])
def test_a_state_that_cannot_be_written_is_refused_when_it_is_kept(tmp_path: Path, body: dict[str, Any]) -> None:
    """Refused later it would take the other states and the events of its transaction with it."""
    bench = Bench(tmp_path)
    bench.disk.keep("good", {"x": 1})
    with pytest.raises((ValueError, TypeError)):
        bench.disk.keep("bad", body)
    bench.write(row(1))
    assert on_disk(tmp_path) == ([1], {"good": {"x": 1}})
    assert bench.disk.state() == ("ok", "", 0)


def test_a_disk_that_was_given_up_gets_everything_when_it_is_tried_again(tmp_path: Path) -> None:
    """Until then the storage is memory, and the reason names the folder."""
    bench = Bench(tmp_path)
    bench.disk.give_up("the file is doubtful")
    assert bench.disk.state() == ("memory", f"the file is doubtful; check {tmp_path}", 0)
    bench.disk.keep("alarm/crack", {"state": "NORM"})
    bench.known = [row(1)]
    bench.now_ns = RETRY_NS - 1
    bench.write(row(2))
    assert on_disk(tmp_path) == ([], {})
    bench.known.append(row(2))
    bench.now_ns = RETRY_NS
    bench.write(row(3))
    assert on_disk(tmp_path) == ([1, 2, 3], {"alarm/crack": {"state": "NORM"}})
    assert bench.disk.state() == ("ok", "", 0)


def test_the_last_write_tries_a_lost_disk_once_more(tmp_path: Path) -> None:
    """A daemon that stops within the pause does not lose what the disk would take."""
    bench = Bench(tmp_path)
    bench.disk.give_up("the file is doubtful")
    bench.write(row(1), last=True)
    assert on_disk(tmp_path)[0] == [1]


def test_without_a_folder_there_is_no_disk_and_nothing_fails() -> None:
    """States are kept in memory all the same: they are the truth while the daemon runs."""
    bench = Bench(None)
    bench.disk.keep("alarm/crack", {"state": "NORM"})
    bench.write(row(1), rewrite=True)
    bench.disk.give_up("nothing to give up")
    bench.disk.close()
    assert bench.disk.state() == ("none", "", 0)
    assert bench.disk.kept == {"alarm/crack": {"state": "NORM"}}

"""A copy of the state folder is whole although the daemon writes on, and can be gone back to."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.publish import backup
from edge.publish.backup import back_up, events_of
from edge.publish.store import Store


def body(seq: int) -> bytes:
    """An event."""
    return json.dumps({"epoch": 1, "seq": seq, "ts": "2026-11-30T11:00:00.000Z"}).encode()


def test_what_a_live_journal_holds_is_in_the_copy(tmp_path: Path) -> None:
    """Also what is still in its write-ahead log; the other files come along, and all is for its owner only."""
    live = Store(tmp_path / "state")
    live.write([(1, seq, body(seq), False) for seq in range(20)], {"alarm/red": {"state": "ACK_ALM"}}, epoch=1)
    (tmp_path / "state" / "sparkplug.bdseq").write_text("7")
    back_up(tmp_path / "state", tmp_path / "out")
    live.write([(1, 99, body(99), False)])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["journal.db", "sparkplug.bdseq"]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}
    live.close()
    copy = Store(tmp_path / "out")
    epoch, rows, kept = copy.load()
    copy.close()
    assert (epoch, [row[1] for row in rows], kept) == (1, list(range(20)), {"alarm/red": {"state": "ACK_ALM"}})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "state"], "nothing half made is left"


def test_events_are_read_beside_a_writer(tmp_path: Path) -> None:
    """While events come, each look shows a prefix of them: no gap, no damage."""
    live = Store(tmp_path)
    live.write(epoch=1)
    done = threading.Event()

    def write() -> None:
        for seq in range(60):
            live.write([(1, seq, body(seq), False)])
            done.wait(0.1)
            if done.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            seen = [event["seq"] for event in events_of(tmp_path)]
            assert seen == list(range(len(seen)))
    finally:
        done.set()
        writer.join()
        live.close()


def test_a_journal_that_never_rests_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Better no copy than a torn one."""
    monkeypatch.setattr(backup, "PATIENCE_S", 0.2)
    monkeypatch.setattr(backup, "QUIET_NS", 10**18)
    Store(tmp_path / "state").close()
    with pytest.raises(EdgeError, match="changed all the time"):
        back_up(tmp_path / "state", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_nothing_is_made_of_nothing_and_nothing_is_written_over(tmp_path: Path) -> None:
    """A folder without a journal, and a folder that is there."""
    with pytest.raises(EdgeError, match="no journal in"):
        back_up(tmp_path, tmp_path / "out")
    Store(tmp_path / "state").close()
    with pytest.raises(EdgeError, match="is there already"):
        back_up(tmp_path / "state", tmp_path)


def test_a_damaged_journal_is_not_taken_for_a_backup(tmp_path: Path) -> None:
    """It is said, and no folder is left."""
    Store(tmp_path / "state").close()
    (tmp_path / "state" / "journal.db").write_bytes(b"no database" * 1000)
    with pytest.raises(EdgeError, match="damaged"):
        back_up(tmp_path / "state", tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""History and backup from the command line, on a state folder that a daemon left."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.__main__ import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, main
from edge.console.records import moment
from edge.errors import ConfigError
from edge.publish.store import Store
from edge.wire.messages import Event

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An event of two hours ago and one of now."""
    store = Store(tmp_path / "state")
    rows = []
    for seq, (age_h, subject) in enumerate([(2, "old"), (0, "new")]):
        stamp = (datetime.now(UTC) - timedelta(hours=age_h)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = Event(ts=stamp, session="s", epoch=1, seq=seq, kind="alarm", subject=subject, what="NORM->UNACK_ALM")
        rows.append((1, seq, event.encode(), True))
    store.write(rows, epoch=1)
    store.close()
    return tmp_path / "state"


def test_history_shows_events_as_text_csv_and_json(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same events in each form; `--since` leaves out what is older."""
    assert main(["history", "--state-dir", str(state)]) == EXIT_OK
    assert [line.split()[2] for line in capsys.readouterr().out.splitlines()] == ["SUBJECT", "old", "new"]
    assert main(["history", "--state-dir", str(state), "--since", "1h", "--csv"]) == EXIT_OK
    assert [row["subject"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))] == ["new"]
    assert main(["history", "--state-dir", str(state), "--since", "1h", "--json"]) == EXIT_OK
    assert [event["schema"] for event in json.loads(capsys.readouterr().out)] == ["edge.event/1"]


def test_history_shows_labels_as_text_csv_and_json(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What operators said, and nothing else that is kept; a comment is no formula."""
    store = Store(state)
    label = {
        "alarm_id": "crack", "occurrence_id": "01A", "raised": "2026-11-30T08:00:00.000Z", "valid": False,
        "labelled": "2026-11-30T09:00:00.000Z", "user": "op", "comment": "=1+1",
    }  # fmt: skip
    store.write([], epoch=1, kept={"label/01A": label, "alarm/crack": {"state": "NORM"}})
    store.close()
    assert main(["history", "--labels", "--state-dir", str(state)]) == EXIT_OK
    assert capsys.readouterr().out.splitlines()[1].split() == [
        "2026-11-30T08:00:00.000Z",
        "crack",
        "01A",
        "false",
        "op",
        "=1+1",
    ]
    assert main(["history", "--labels", "--csv", "--state-dir", str(state)]) == EXIT_OK
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["alarm_id"], row["valid"], row["comment"]) == ("crack", "false", "'=1+1")
    assert (
        main(["history", "--labels", "--json", "--since", "2026-11-30T08:30:00Z", "--state-dir", str(state)]) == EXIT_OK
    )
    assert json.loads(capsys.readouterr().out) == []


def test_a_backup_is_a_state_folder(state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its history is that of the device."""
    assert main(["backup", str(tmp_path / "out"), "--state-dir", str(state)]) == EXIT_OK
    capsys.readouterr()
    assert main(["history", "--state-dir", str(tmp_path / "out"), "--json"]) == EXIT_OK
    assert [event["subject"] for event in json.loads(capsys.readouterr().out)] == ["old", "new"]
    assert main(["backup", str(tmp_path / "out"), "--state-dir", str(state)]) == EXIT_FAILED
    assert "is there already" in capsys.readouterr().err


def test_a_site_without_a_state_folder_has_no_history(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said with what to do."""
    site = tmp_path / "site.toml"
    site.write_text('bundle = "b"\nnode = {id = "press7"}\ncameras = [{id = "cam1"}]\n')
    assert main(["history", "--config", str(site)]) == EXIT_CONFIG
    assert "--state-dir" in capsys.readouterr().err


def test_a_moment_is_a_duration_ago_or_a_time() -> None:
    """In UTC where no zone is given."""
    assert moment("2h", NOW) == NOW - timedelta(hours=2)
    assert moment("2026-11-30T11:00:00.000Z", NOW) == NOW - timedelta(hours=1)
    assert moment("2026-11-30T13:00:00+02:00", NOW) == NOW - timedelta(hours=1)
    assert moment("2026-11-30", NOW) == NOW - timedelta(hours=12)


@pytest.mark.parametrize("text", ["yesterday", "", "9999999999999d", "-2h"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    """With examples."""
    with pytest.raises(ConfigError, match="--since"):
        moment(text, NOW)

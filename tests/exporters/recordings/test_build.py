"""From recorded CSV files to a bundle that is proven, armed or not, and replayed as it is judged on a device."""

from __future__ import annotations

import csv
import gzip
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.bundle import open_bundle
from edge.errors import ConfigError, ExportError
from edge.record.readings import COLUMNS
from edge.replay.recorded import read_folder
from edge.replay.setup import backtest, site_for
from examples.recordings.pump import write
from exporters.__main__ import main
from exporters.recordings.build import build_recording, plan_recording

NOW = datetime(2027, 2, 1, tzinfo=UTC)
BOARD = "x86-64-avx2"
LAST_ROWS = 160  # one in 10 s; the leak is in the last 90
RECIPE = Path(__file__).parents[3] / "examples" / "recipes" / "pump.toml"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's readings beside its recipe, made once."""
    folder = tmp_path_factory.mktemp("pump")
    write(folder)
    text = RECIPE.read_text(encoding="utf-8").replace("../../build/pump/", "")
    (folder / "pump.toml").write_text(text, encoding="utf-8")
    return folder


def changed(recorded: Path, folder: Path, old: str, new: str) -> Path:
    """The recipe with another line, beside copies of its files."""
    shutil.copytree(recorded, folder, dirs_exist_ok=True)
    text = (folder / "pump.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "pump.toml").write_text(text.replace(old, new), encoding="utf-8")
    return folder / "pump.toml"


@pytest.mark.slow
def test_a_recording_is_a_bundle_that_the_daemon_proves_and_replays(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """The leak is found in a replay of what the daemon would have recorded, named in the report, and no other alarm is raised that day."""
    assert main(["plan", str(recorded / "pump.toml"), "--board", BOARD]) == 0
    assert "4 files, 2,160 rows; 0 rows or values are left out" in capsys.readouterr().out
    assert main(["build", str(recorded / "pump.toml"), "--board", BOARD, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "unusual is armed" in said.err
    assert "Of 1 known faults 1 were found; they chose nothing" in said.err
    bundle = open_bundle(Path(said.out.strip()))
    (fault,) = bundle.manifest.faults
    assert fault.armed
    assert bundle.manifest.one_sided() == ()
    assert main(["verify", str(bundle.path)]) == 0
    report = (bundle.path / "report.md").read_text(encoding="utf-8")
    assert "rows in excluded intervals" in report
    assert "1 per hour in this state alone" in report
    assert "not shown: " in report
    assert "| 2027-01-07 | 2027-01-07 07:15:10 | 89 | 89 | flow |" in report
    as_recorded(recorded / "day4.csv", tmp_path / "day4")
    outcome = backtest(site_for(bundle, None), bundle, read_folder(tmp_path / "day4", (), 1.0))
    assert outcome.internal_errors == {}
    scores = [flag.score for flag in outcome.flags["unusual"] if flag.score is not None]
    flagged = [score >= fault.threshold for score in scores]
    assert not any(flagged[:-100])
    assert sum(flagged[-90:]) >= 80


def test_too_short_a_recording_is_not_armed_and_says_how_many_days_are_missing(recorded: Path, tmp_path: Path) -> None:
    """Six hours for a promise of one a week."""
    recipe = changed(recorded, tmp_path / "a", 'bound = "1 per hour"', 'bound = "1 per week"')
    folder, lines = build_recording(recipe, BOARD, tmp_path / "out", now=NOW, log=lambda _: None)
    assert any("NOT ARMED: `1 per week` needs 21.0 days" in line and "Record 20.7 days more" in line for line in lines)
    assert not open_bundle(folder).manifest.faults[0].armed


def test_states_without_edges_are_proposed_and_wait_for_a_person(recorded: Path, tmp_path: Path) -> None:
    """`plan` says what the speed shows; `build` makes nothing until the line stands in the recipe."""
    recipe = changed(recorded, tmp_path / "a", "edges = [2000]", "")
    assert any("speed has 2 states: " in line for line in plan_recording(recipe, BOARD))
    with pytest.raises(ConfigError, match=r"state.edges are missing. speed has 2 states: .* edges = \[2\d{3}\]"):
        build_recording(recipe, BOARD, tmp_path / "out", now=NOW, log=lambda _: None)
    assert not list((tmp_path / "out").glob("*"))


def test_what_cannot_be_built_is_told(recorded: Path, tmp_path: Path) -> None:
    """Cells too long, everything excluded, a recipe of wrap; nothing is left behind."""
    out = tmp_path / "out"
    recipe = changed(recorded, tmp_path / "a", "period_ms = 10_000", "period_ms = 6_000_000")
    with pytest.raises(ExportError, match="fill no window"):
        build_recording(recipe, BOARD, out, now=NOW, log=lambda _: None)
    recipe = changed(recorded, tmp_path / "b", "end = 2027-01-05T06:05:00Z", "end = 2027-03-05T06:05:00Z")
    recipe = changed(tmp_path / "b", tmp_path / "c", "start = 2027-01-05", "start = 2027-01-01")
    with pytest.raises(ExportError, match="no window is normal"):
        build_recording(recipe, BOARD, out, now=NOW, log=lambda _: None)
    assert not out.exists()


def as_recorded(file: Path, folder: Path) -> None:
    """The end of a file of the example as `edge-daemon record` leaves it."""
    folder.mkdir()
    with (
        file.open(encoding="utf-8", newline="") as source,
        gzip.open(folder / "readings.csv.gz", "wt", newline="") as target,
    ):
        table = csv.writer(target)
        table.writerow(COLUMNS)
        for row in list(csv.reader(source))[-LAST_ROWS:]:
            for sensor, value in zip(("speed", "flow", "pressure"), row[1:4], strict=True):
                table.writerow((row[0], row[0], sensor, value, "good"))

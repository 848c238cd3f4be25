"""An hour of readings as Parquet: exact, whole or not at all, and nothing lost or doubled by a power cut."""

from __future__ import annotations

import gzip
import math
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge.errors import ConfigError
from edge.frame import Quality, Reading
from edge.record import parquet
from edge.record.readings import COLUMNS, ReadingFiles
from edge.replay.recorded import read_folder

S = 1_000_000_000
HOUR_NS = 3600 * S
WALL_NS = 1_800_000_000 * S  # 2027-01-15 08:00:00 UTC
READINGS = [Reading("oil", 0.1 + 0.2, 8 * S, age_ns=3 * S), Reading("oil", math.nan, 9 * S, quality=Quality.BAD)]
ROWS = [
    list(COLUMNS),
    ["2027-01-15T07:59:55+00:00", "2027-01-15T07:59:58+00:00", "oil", "0.30000000000000004", "good"],
    ["2027-01-15T07:59:59+00:00", "2027-01-15T07:59:59+00:00", "oil", "", "bad"],
]


def recorded(folder: Path, hours: int = 1) -> ReadingFiles:
    """A recording whose readings are the same in each hour."""
    files = ReadingFiles(folder, 10**7, parquet.of_csv)
    for hour in range(hours):
        files.append(READINGS, 10 * S, WALL_NS + hour * HOUR_NS)
    return files


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_an_hour_that_is_over_becomes_parquet(tmp_path: Path) -> None:
    """As exact as the CSV was, with the types that other programs expect; the last hour when the recording ends."""
    files = recorded(tmp_path, hours=2)
    assert "readings-20270115T09.csv.gz" in names(tmp_path)
    files.close()
    assert names(tmp_path) == ["readings-20270115T08.parquet", "readings-20270115T09.parquet"]
    assert list(parquet.rows(tmp_path / "readings-20270115T08.parquet")) == ROWS
    table = pq.read_table(tmp_path / "readings-20270115T08.parquet")
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert table["time"].to_pylist()[0] == datetime(2027, 1, 15, 7, 59, 55, tzinfo=UTC)
    assert table["value"].to_pylist() == [0.1 + 0.2, None]
    assert files.kept == 4
    assert not files.full


def test_what_a_killed_recorder_left_becomes_parquet_at_the_next_start(tmp_path: Path) -> None:
    """Up to the last flush: a line that was torn is left out, the others are not."""
    recorded(tmp_path)
    (left,) = tmp_path.glob("*.csv.gz")
    left.write_bytes(left.read_bytes() + gzip.compress(b"2027-01-15T08:00:00.000Z,2027")[:-9])
    ReadingFiles(tmp_path, 10**7, parquet.of_csv).close()
    assert names(tmp_path) == ["readings-20270115T08.parquet"]
    assert list(parquet.rows(tmp_path / "readings-20270115T08.parquet")) == ROWS


def test_a_power_cut_before_the_csv_is_removed_doubles_nothing(tmp_path: Path) -> None:
    """The Parquet file says which CSV it was made of."""
    recorded(tmp_path)
    (left,) = tmp_path.glob("*.csv.gz")
    before = left.read_bytes()
    parquet.of_csv(left)
    left.write_bytes(before)
    ReadingFiles(tmp_path, 10**7, parquet.of_csv).close()
    assert names(tmp_path) == ["readings-20270115T08.parquet"]


def test_an_hour_that_goes_on_after_a_restart_has_a_second_file(tmp_path: Path) -> None:
    """Nothing is written over."""
    for second in range(2):
        files = ReadingFiles(tmp_path, 10**7, parquet.of_csv)
        files.append(READINGS, 10 * S, WALL_NS + second * S)
        files.close()
    assert names(tmp_path) == ["readings-20270115T08.parquet", "readings-20270115T08_2.parquet"]


def test_a_long_hour_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No row is lost where one piece ends."""
    monkeypatch.setattr(parquet, "_CHUNK_BYTES", 1000)
    files = ReadingFiles(tmp_path, 10**7, parquet.of_csv)
    for number in range(10):
        files.append([Reading("oil", number + part / 100, 0) for part in range(100)], 0, WALL_NS)
    files.close()
    (path,) = tmp_path.iterdir()
    found = [float(row[3]) for row in list(parquet.rows(path))[1:]]
    assert found == [number + part / 100 for number in range(10) for part in range(100)]
    assert pq.ParquetFile(path).num_row_groups > 10


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    """Not only in the log of a thread."""

    def full(_: Path) -> Path:
        raise OSError(28, "No space left on device")

    files = ReadingFiles(tmp_path, 10**7, full)
    files.append(READINGS, 10 * S, WALL_NS)
    with pytest.raises(OSError, match="No space"):
        files.close()
    assert names(tmp_path) == ["readings-20270115T08.csv.gz"]


def test_a_backtest_reads_both_forms(tmp_path: Path) -> None:
    """The same values, in the order of their time."""
    recorded(tmp_path / "csv")
    recorded(tmp_path / "parquet").close()
    csv, found = read_folder(tmp_path / "csv", ["cam"], 1.0), read_folder(tmp_path / "parquet", ["cam"], 1.0)
    assert [(one.at_ns, one.sensor, repr(one.value), one.quality) for one in csv.values] == [
        (one.at_ns, one.sensor, repr(one.value), one.quality) for one in found.values
    ]
    assert len(found.values) == 2


def test_other_programs_types_are_read(tmp_path: Path) -> None:
    """Times of a zone or without one, whole numbers, switches, nothing at all."""
    path = tmp_path / "historian.parquet"
    moment = datetime(2027, 1, 15, 8, tzinfo=UTC)
    pq.write_table(
        pa.table(
            {
                "at": pa.array([moment, None], pa.timestamp("ns", tz="UTC")),
                "local": pa.array([moment.replace(tzinfo=None), None], pa.timestamp("ms")),
                "count": pa.array([7, None]),
                "on": pa.array([True, False]),
                "name": pa.array(["a", "b"]).dictionary_encode(),
            }
        ),
        path,
    )
    assert list(parquet.rows(path)) == [
        ["at", "local", "count", "on", "name"],
        ["2027-01-15T08:00:00+00:00", "2027-01-15T08:00:00", "7", "1", "a"],
        ["", "", "", "0", "b"],
    ]


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(40) + b"PAR1"])
def test_what_is_no_parquet_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    """In a build; a backtest passes it over and says so."""
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.parquet is no Parquet file"):
        list(parquet.rows(path))
    recorded(tmp_path).close()
    assert "broken.parquet is no Parquet" in read_folder(tmp_path, ["cam"], 1.0).passed_over[0]


def test_a_column_of_lists_is_refused(tmp_path: Path) -> None:
    """A waveform is no single value."""
    path = tmp_path / "lists.parquet"
    pq.write_table(pa.table({"time": [1], "wave": [[1.0, 2.0]]}), path)
    with pytest.raises(ConfigError, match="'wave' holds lists"):
        list(parquet.rows(path))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The plain install stays light."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match=r"plantflag\[record\]"):
        list(parquet.rows(tmp_path / "any.parquet"))

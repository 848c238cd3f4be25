"""Files of readings: what is strange is refused with its place, or counted and left out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError
from exporters.recordings.recipe import Recording, Sensor
from exporters.recordings.table import Table, find_files, read_tables

SENSORS = (Sensor(id="flow", unit="l/min", minimum=0, maximum=100), Sensor(id="temp", column="Temperature"))


def read(folder: Path, *texts: str, **changes: object) -> list[Table]:
    """Tables of some files."""
    for number, text in enumerate(texts):
        (folder / f"{number}.csv").write_text(text, encoding="utf-8")
    recording = Recording.model_validate({"files": ["*.csv"], **changes})
    return read_tables(find_files(recording, folder), recording, SENSORS)


def test_rows_become_times_and_values_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Offsets may differ, units stand in brackets; duplicates, backward times, empty cells and impossible values are counted, each by itself."""
    (table,) = read(
        tmp_path,
        "time;flow [l/min];Temperature;bad\n"
        "2027-01-01T01:00:00+01:00;1;20;0\n"
        "2027-01-01T00:00:01+00:00;2;;1\n"
        "2027-01-01T00:00:01Z;3;21;0\n"
        "2026-12-31T23:00:00Z;3;21;0\n"
        "yesterday;3;21;0\n"
        "2027-01-01T00:00:09Z;900;x;0\n",
        label="bad",
    )
    assert np.diff(table.at_ns).tolist() == [1_000_000_000, 8_000_000_000]
    assert table.values[0].tolist() == [1.0, 20.0]
    assert np.isnan(table.values[[1, 2], 1]).all()
    assert np.isnan(table.values[2, 0])
    assert table.faulty.tolist() == [False, True, False]
    assert table.left_out == {
        "rows at the same time as the one before": 1, "rows that go back in time": 1, "rows without a time": 1,
        "values that are none": 1, "values that are no number": 1, "values of flow outside its range": 1,
    }  # fmt: skip


def test_what_the_daemon_recorded_is_read_as_it_is(tmp_path: Path) -> None:
    """A row holds one sensor; bad values and other sensors are counted."""
    rows = [
        "time,received,sensor,value,quality",
        "10.5,10.6,flow,4,good",
        "10.5,10.6,Temperature,5,good",
        "11,11,flow,,bad",
        "12,12,level,1,good",
    ]
    with gzip.open(tmp_path / "a.csv.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(rows))
    recording = Recording(files=("*.csv.gz",))
    (table,) = read_tables(find_files(recording, tmp_path), recording, SENSORS)
    assert table.at_ns.tolist() == [10_500_000_000] * 2
    assert np.nan_to_num(table.values, nan=-1).tolist() == [[4, -1], [-1, 5]]
    assert table.left_out == {"values of bad quality": 1, "rows of other sensors": 1}


def test_a_decimal_comma_is_read_where_the_recipe_says_so(tmp_path: Path) -> None:
    """Between semicolons."""
    (table,) = read(tmp_path, "time;flow;Temperature\n1;1,5;2,5\n", decimal=",")
    assert table.values.tolist() == [[1.5, 2.5]]


@pytest.mark.parametrize(
    ("texts", "changes", "said"),
    [
        (["time;flow;Temperature\n1;1,5;2\n"], {}, "line 2: '1,5' has a decimal comma"),
        (["time,flow,Temperature\n1,1,5,2,5\n"], {}, "line 2 has 5 columns and the first line 3: are there decimal commas"),
        (["time,flow,Temprature\n1,1,2\n"], {}, "no column 'Temperature' .*did you mean 'Temprature'"),
        (["when,flow,Temperature\n1,1,2\n"], {}, "no column 'time'"),
        (["time,flow,Temperature\n1,1,2\n"], {"label": "bad"}, "no file has a column 'bad'"),
        (["time,flow (m3/h),Temperature\n1,1,2\n"], {}, "gives 'flow' in m3/h, the recipe in l/min"),
        (["time,flow,Temperature\n1,900,2\n2,901,2\n"], {}, "2 of 2 values of flow lie outside 0 to 100 l/min: is the unit another"),
        (["time,flow,Temperature\n2027-01-01,1,2\n2027-01-02T00:00Z,1,2\n"], {}, "time zones are mixed in 0.csv"),
        (["time,flow,Temperature\n2027-01-01,1,2\n", "time,flow,Temperature\n2027-01-02T00:00Z,1,2\n"], {}, "1.csv names the offset from UTC and 0.csv does not"),
        ([], {}, "no file matches"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, texts: list[str], changes: dict[str, object], said: str) -> None:  # fmt: skip
    """Never guessed."""
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, *texts, **changes)


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    """Another encoding, and a torn archive."""
    recording = Recording(files=("*",))
    (tmp_path / "a.csv").write_bytes(b"time,flow,Temperature\n1,\xff\xfe,2\n")
    with pytest.raises(ConfigError, match="no CSV in UTF-8"):
        read_tables(find_files(recording, tmp_path), recording, SENSORS)
    (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"time,flow,Temperature\n1,2,3\n")[:-9])
    with pytest.raises(ConfigError, match="cannot read"):
        read_tables(find_files(recording, tmp_path), recording, SENSORS)

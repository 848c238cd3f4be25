"""The example of a recording: what it writes is the same every time, and its recipe reads it."""

from __future__ import annotations

from pathlib import Path

from examples.recordings.pump import HEAD, ROWS, write

RECIPE = Path(__file__).parents[3] / "examples" / "recipes" / "pump.toml"


def test_a_day_is_a_file_and_the_last_one_leaks(tmp_path: Path) -> None:
    """Made again it is the same; only the end of the last day is labelled."""
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    lines = [file.read_text(encoding="utf-8").splitlines() for file in first]
    assert [len(one) for one in lines] == [ROWS + 1] * 4
    assert {one[0] for one in lines} == {",".join(HEAD)}
    assert [sum(line.endswith(",1") for line in one[1:]) for one in lines] == [0, 0, 0, 90]

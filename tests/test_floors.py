"""The floors of coverage are of code that is there, and one that does not hold is said with what never ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import floors


def measured(ran: int, there: int) -> dict[str, Any]:
    """A file in coverage's report, with one branch to every three lines."""
    summary = {
        "covered_lines": ran, "num_statements": there, "covered_branches": 1, "num_branches": 1, "percent_covered": 100.0 * (ran + 1) / (there + 1),
    }  # fmt: skip
    return {"summary": summary, "missing_lines": list(range(ran, there)), "missing_branches": []}


def test_every_floor_is_of_something_that_is_there() -> None:
    """A folder that moved takes its floor with it."""
    assert [place for place in floors.floors() if not (floors.ROOT / place).exists()] == []


def test_the_readme_states_the_floors() -> None:
    """What is promised there is what fails here."""
    said = (floors.ROOT / "README.md").read_text(encoding="utf-8")
    sentence = " ".join(said[said.index("which has floors:") :].split())
    groups: dict[float, list[str]] = {}
    for place, floor in floors.floors().items():
        groups.setdefault(floor, []).append(f"`{place}`")
    for floor, places in groups.items():
        listed = places[0] if len(places) == 1 else f"{', '.join(places[:-1])} and {places[-1]}"
        assert f"{listed} {floor:g} %" in sentence


@pytest.mark.parametrize(("ran", "status"), [(99, 0), (94, 1)])
def test_a_floor_that_does_not_hold_fails_and_names_the_lines(
    ran: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files count together, by their statements and branches; a neighbour of a like name is not meant."""
    monkeypatch.setattr(floors, "floors", lambda: {"edge": 96})
    files = {"edge/a.py": measured(ran, 99), "edge/b.py": measured(9, 9), "edgeless/c.py": measured(0, 99)}
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"files": files}), encoding="utf-8")
    assert floors.main(report) == status
    said = capsys.readouterr().out
    assert ("NOT HELD" in said) == bool(status)
    assert ("edge/a.py: lines [94, 95, 96, 97, 98]" in said) == bool(status)


def test_what_was_not_measured_has_no_coverage() -> None:
    """A floor that nothing is measured for is an error, not a hundred percent."""
    with pytest.raises(KeyError, match="edge"):
        floors.covered({}, "edge")

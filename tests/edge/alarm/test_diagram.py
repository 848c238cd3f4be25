"""docs/alarm.md shows the tables that run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge.alarm.diagram import BEGIN, END, diagram_mermaid, generated, refreshed, tables_markdown
from edge.alarm.table import TRANSITIONS, Condition, Trigger

PAGE = Path(__file__).parents[3] / "docs" / "alarm.md"


def test_the_page_is_fresh() -> None:
    """The generated part of docs/alarm.md is what the tables give now; else run `python -m edge.alarm.diagram docs/alarm.md`."""
    text = PAGE.read_text(encoding="utf-8")
    assert refreshed(text) == text


def test_the_diagram_has_every_move_and_no_other() -> None:
    """Read back, the arrows are exactly the cells that lead somewhere or do something."""
    arrows = {
        (before, trigger, to)
        for before, to, triggers in re.findall(r"^ +(\w+) --> (\w+): (.+)$", diagram_mermaid(), re.MULTILINE)
        for trigger in triggers.split(", ")
    }
    assert arrows == {
        (state.value, trigger.value, step.to.value)
        for state, row in TRANSITIONS.items()
        for trigger, step in row.items()
        if step.to is not state or step.effects
    }


def test_the_table_has_every_trigger_and_state() -> None:
    """Each trigger has a row with a cell for each state."""
    rows = {line.split(" | ")[0].removeprefix("| "): line.count(" | ") for line in tables_markdown().splitlines()}
    assert all(rows[trigger.value] == 1 + len(Condition) for trigger in Trigger)


def test_a_page_without_markers_is_refused() -> None:
    """Nothing is written into a page that has no place for it."""
    assert refreshed(f"x{BEGIN}old{END}y") == f"x{generated()}y"
    for page in ("", BEGIN, END, f"{END}{BEGIN}"):
        with pytest.raises(ValueError, match="no part between"):
            refreshed(page)


def test_the_command_writes_a_page_anew(tmp_path: Path) -> None:
    """`python -m edge.alarm.diagram PAGE`: only what stands between the markers changes."""
    page = tmp_path / "alarm.md"
    page.write_text(f"before\n{BEGIN}old{END}\nafter\n", encoding="utf-8")
    subprocess.run([sys.executable, "-m", "edge.alarm.diagram", str(page)], cwd=PAGE.parents[1], check=True)
    assert page.read_text(encoding="utf-8") == f"before\n{generated()}\nafter\n"

"""Whoever looks for the tests of a module finds them by its name, or in a table that says where they are and why."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("edge", "exporters")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"
)
TABLES = tomllib.loads((ROOT / "tests/mirror.toml").read_text(encoding="utf-8"))
ELSEWHERE, ACROSS = TABLES["elsewhere"], TABLES["across"]


def own_file(module: Path) -> Path:
    """Where the tests of a module are looked for: ``edge/alarm/kpi.py`` -> ``tests/edge/alarm/test_kpi.py``."""
    return Path("tests") / module.parent / f"test_{module.stem.strip('_')}.py"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_its_test_file_or_a_reason(module: Path) -> None:
    """One or the other: a line of the table beside a file is stale."""
    listed, there = module.as_posix() in ELSEWHERE, (ROOT / own_file(module)).is_file()
    assert listed or there, f"write {own_file(module)}, or say in tests/mirror.toml where {module} is tested and why"
    assert not (listed and there), f"{own_file(module)} is there: take {module} out of tests/mirror.toml"


@pytest.mark.parametrize("module", ELSEWHERE)
def test_a_line_of_the_table_leads_to_tests(module: str) -> None:
    """The module is there, the files are there, and the reason is a reason."""
    line = ELSEWHERE[module]
    assert Path(module) in MODULES
    assert [name for name in line["tested"] if not (ROOT / name).is_file()] == []
    assert line["tested"]
    assert line["why"]


def test_the_tables_are_in_order() -> None:
    """So that two changes of it meet only where they say the same."""
    assert [list(table) for table in TABLES.values()] == [sorted(table) for table in TABLES.values()]


def test_a_test_file_has_its_module_or_a_reason() -> None:
    """A file whose module was renamed or has gone is not left behind."""
    folders = ("tests/edge", "tests/exporters")
    found = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("test_*.py")}
    assert {path.as_posix() for path in found - set(map(own_file, MODULES))} == set(ACROSS)

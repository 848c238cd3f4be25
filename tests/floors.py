"""The floors of branch coverage, held: `python -m tests.floors build/coverage/report.json` after `make coverage`."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def floors() -> dict[str, float]:
    """The least coverage in percent, by folder or file."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, float] = document["tool"]["plantflag"]["floors"]
    return found


def covered(files: Mapping[str, Any], place: str) -> float:
    """Percent of the statements and branches below a folder, or of a file, that ran.

    Args:
        files: ``files`` of coverage's JSON report.
        place: relative to the repository.

    Raises:
        KeyError: nothing of it was measured.
    """
    within = [file["summary"] for name, file in files.items() if name == place or name.startswith(f"{place}/")]
    if not within:
        raise KeyError(place)
    ran: int = sum(summary["covered_lines"] + summary["covered_branches"] for summary in within)
    there: int = sum(summary["num_statements"] + summary["num_branches"] for summary in within)
    return 100.0 * ran / there


def table(files: Mapping[str, Any]) -> tuple[str, bool]:
    """A line a floor, and whether all hold; under a floor that does not, what never ran."""
    lines, held = [], True
    for place, floor in floors().items():
        found = covered(files, place)
        held = held and found >= floor
        lines.append(f"{place:16} {found:6.2f} %  floor {floor:g} %{'' if found >= floor else '  NOT HELD'}")
        if found < floor:
            lines += [
                f"  {name}: lines {file['missing_lines']}, branches {file['missing_branches']}"
                for name, file in files.items()
                if (name == place or name.startswith(f"{place}/")) and file["summary"]["percent_covered"] < floor
            ]
    return "\n".join(lines), held


def main(report: Path) -> int:
    """Print the table; 1 where a floor does not hold."""
    text, held = table(json.loads(report.read_text(encoding="utf-8"))["files"])
    print(text)  # noqa: T201 - a command's output
    return not held


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

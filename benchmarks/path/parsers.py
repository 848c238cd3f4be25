"""What the worst message costs each parser at its limit of size: processor time and memory.

Run from the repository root: ``python -m benchmarks.path.parsers``. The cases are those of `tests/stand/worst_cases.py`, which a test holds to the bound.
"""

from __future__ import annotations

from benchmarks import report
from tests.stand.worst_cases import Case, Cost, all_cases, cost_of


def main() -> None:
    """Measure and write results/parsers.{json,md}."""
    measured = [(case, cost_of(case)) for case in all_cases()]
    parsers = dict.fromkeys(case.parser for case, _ in measured)
    rows = [row(parser, [item for item in measured if item[0].parser == parser]) for parser in parsers]
    report.write(
        "parsers",
        title="Parsers: the worst message that each can be sent",
        rows=rows,
        notes=[
            "Processor time of the reading thread, and memory beyond the message, of the dearest case of each.",
            "Half of the frame's memory is the picture of 8 MB that it gives, the other half the pieces that it is put together from.",
        ],
    )


def row(parser: str, measured: list[tuple[Case, Cost]]) -> dict[str, object]:
    """One parser as a line of the table."""
    slowest = max(measured, key=lambda item: item[1].cpu_ms)
    largest = max(measured, key=lambda item: item[1].peak_mb)
    return {
        "parser": parser,
        "cases": len(measured),
        "worst ms": slowest[1].cpu_ms,
        "sent": f"{slowest[0].name} ({slowest[1].outcome})",
        "worst MB": largest[1].peak_mb,
        "sent then": f"{largest[0].name} ({largest[1].outcome})",
    }


if __name__ == "__main__":
    report.run(main)

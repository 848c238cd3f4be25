"""Where every benchmark's figures go: a JSON file and a Markdown table with the command and the machine that made them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from benchmarks.bars import RESULTS, judged
from edge import units
from edge.system.board import machine_facts

MISSED = 3  # exit status: it ran, and a figure does not keep its bar; 1 and 2 mean that it did not run
_written: list[str] = []  # results of this process


def run(main: Callable[[], None]) -> NoReturn:
    """Run a benchmark, then hold what it wrote against its bars: exits with 0, or `MISSED` if one is not met."""
    main()
    missed = [found for found in judged(_written) if not found.met]
    for found in missed:
        print(f"missed: {found.bar.of}: {found.figure}, the bar is {found.bar.bound}", file=sys.stderr)
    sys.exit(MISSED if missed else 0)


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile that is one of the values."""
    return units.percentile(sorted(values), percent / 100)


def command() -> str:
    """What is running now, as it was called; a path of this machine alone is left out."""
    spec = sys.modules["__main__"].__spec__
    module = (spec.name if spec else "?").removesuffix(".__main__")
    return shlex.join(
        ["python", "-m", module, *("PATH" if Path(word).is_absolute() else word for word in sys.argv[1:])]
    )


def write(name: str, *, title: str, rows: Sequence[Mapping[str, object]], notes: Sequence[str]) -> Path:
    """Write ``results/<name>.json`` and ``.md`` and print the table; each row maps column names (with units) to values."""
    RESULTS.mkdir(exist_ok=True)
    facts = machine_facts()
    load = os.getloadavg()[0]
    context = {
        "title": title,
        "command": command(),
        "machine": f"{facts.name}, {facts.memory_mib} MiB",
        "load_average_after": round(load, 2),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (RESULTS / f"{name}.json").write_text(
        json.dumps({**context, "rows": list(rows), "notes": list(notes)}, indent=1) + "\n", encoding="utf-8"
    )
    _written.append(name)
    columns = list(rows[0])
    lines = [
        f"# {title}",
        "",
        f"`{context['command']}` on {context['machine']}, {context['when']}, load average {context['load_average_after']} at the end.",
        "",
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(_cell(row[column]) for column in columns) + " |" for row in rows),
        "",
        *(f"- {note}" for note in notes),
        *(
            f"- Bar: {found.bar.of} {found.bar.bound}: {'met' if found.met else 'MISSED'} ({found.figure})."
            for found in judged([name])
            if found.bar.bound
        ),
    ]
    path = RESULTS / f"{name}.md"
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print("\n".join(lines))
    return path


def _cell(value: object) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 10
        else f"{value:.1f}"
        if isinstance(value, float)
        else str(value)
    )

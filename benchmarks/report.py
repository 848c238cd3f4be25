"""Where every benchmark's figures go: a JSON file and a Markdown table with the command and the machine that made them."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge.board import machine_facts

RESULTS = Path(__file__).parent / "results"


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile that is one of the values."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


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

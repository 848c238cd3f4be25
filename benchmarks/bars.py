"""The bars that the benchmarks are held to: `bars.toml` as data, and each bar against the result that is kept."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

HERE = Path(__file__).parent
RESULTS = HERE / "results"
NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
Row = Mapping[str, object]


class Bar(BaseModel):
    """One figure of a result and, unless it is only shown, the bound that it has to keep.

    Attributes:
        of: which part of the benchmark's measure this is.
        result: file in `results/`: JSON, or Markdown with tables.
        row: what the row's columns hold, with `*` for anything; several rows: the worst one counts.
        column: the figure's column; the first number of the cell is the figure.
        note: instead of a column: a piece of a note, with `{}` where the figure stands.
        per: a column of the same row to divide by.
        less: other rows; the figure is then the sum over `row` less the sum over these.
        at_most, at_least: the bound; neither: a figure without a bar.
        unit: of figure and bound.
        missed: why the kept result does not meet the bound; empty while it does.
        headline: shown in the project's README.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: str
    result: str
    row: Mapping[str, str | int | float] = {}
    column: str = ""
    note: str = ""
    per: str = ""
    less: Mapping[str, str | int | float] | None = None
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    missed: str = ""
    headline: bool = False

    @model_validator(mode="after")
    def _one_figure_one_bound(self) -> Bar:
        if bool(self.column) == bool(self.note):
            raise ValueError(f"{self.of!r}: say either column or note")
        if self.at_most is not None and self.at_least is not None:
            raise ValueError(f"{self.of!r}: say at_most or at_least, not both")
        return self

    @property
    def bound(self) -> str:
        """The bound for people, e.g. ``at most 1.15``; empty without one."""
        if self.at_most is not None:
            return f"at most {_spelt(self.at_most)}{self.suffix}"
        return "" if self.at_least is None else f"at least {_spelt(self.at_least)}{self.suffix}"

    @property
    def suffix(self) -> str:
        """The unit, as it follows a number."""
        return f" {self.unit}" if self.unit else ""

    def meets(self, value: float) -> bool:
        """Whether a figure keeps the bound."""
        return not (
            (self.at_most is not None and value > self.at_most) or (self.at_least is not None and value < self.at_least)
        )


class Benchmark(BaseModel):
    """One command, what it measures and its bars.

    Attributes:
        name: unique; `python -m benchmarks NAME` runs it.
        module: run with `python -m`.
        arguments: behind the module, as the kept result was made.
        measure: what is measured, for people.
        alone: why `make bench` leaves it out; empty: it does not.
        bars: in the order of the tables.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    module: str
    arguments: str = ""
    measure: str
    alone: str = ""
    bars: tuple[Bar, ...]

    @property
    def command(self) -> str:
        """As it is typed."""
        return f"python -m {self.module} {self.arguments}".rstrip()


@dataclass(frozen=True, slots=True)
class Found:
    """A bar beside the figures that a result holds for it: one number a row."""

    bar: Bar
    values: tuple[float, ...]

    @property
    def met(self) -> bool:
        """Whether every row keeps the bound."""
        return all(self.bar.meets(value) for value in self.values)

    @property
    def figure(self) -> str:
        """For people: one number, or the least and the largest."""
        bound = self.bar.at_most if self.bar.at_most is not None else self.bar.at_least
        digits = 2 if bound is None else len(_spelt(bound).partition(".")[2]) + 1
        shown = dict.fromkeys(_rounded(value, digits) for value in (min(self.values), max(self.values)))
        return " to ".join(shown) + self.bar.suffix


@cache
def benchmarks() -> tuple[Benchmark, ...]:
    """Every benchmark of `bars.toml`, in its order."""
    document = tomllib.loads((HERE / "bars.toml").read_text(encoding="utf-8"))
    return tuple(Benchmark.model_validate(item) for item in document["benchmark"])


def named(name: str) -> Benchmark:
    """One of them.

    Raises:
        KeyError: there is none of that name.
    """
    return {benchmark.name: benchmark for benchmark in benchmarks()}[name]


def judged(names: Sequence[str]) -> Iterator[Found]:
    """The bars whose results have these names, e.g. ``frame_path``; without those whose rows the run left out."""
    for benchmark in benchmarks():
        for bar in benchmark.bars:
            if Path(bar.result).stem in names:
                found = look(bar)
                if found.values:
                    yield found


def look(bar: Bar) -> Found:
    """Read a bar's figures from its result.

    Raises:
        OSError: there is no such result.
        KeyError: a row has no such column.
    """
    path = RESULTS / bar.result
    text = path.read_text(encoding="utf-8")
    rows, notes = _from_json(text) if path.suffix == ".json" else _from_markdown(text)
    if bar.note:
        before, after = (re.escape(part) for part in bar.note.split("{}"))
        found = [match[1] for note in notes for match in re.finditer(f"{before}({NUMBER}){after}", note)]
        return Found(bar, tuple(_number(text) for text in found))
    values = _column(rows, bar.row, bar.column)
    if bar.per:
        values = [value / other for value, other in zip(values, _column(rows, bar.row, bar.per), strict=True)]
    if bar.less is not None and values:
        values = [sum(values) - sum(_column(rows, bar.less, bar.column))]
    return Found(bar, tuple(values))


def _column(rows: Sequence[Row], wanted: Row, column: str) -> list[float]:
    """The numbers of a column in the rows that fit; a cell without a number was not measured."""
    fitting = [
        row
        for row in rows
        if column in row and all(fnmatchcase(str(row.get(key)), str(value)) for key, value in wanted.items())
    ]
    return [_number(str(row[column])) for row in fitting if re.match(NUMBER, str(row[column]))]


def _from_json(text: str) -> tuple[list[Row], list[str]]:
    document: dict[str, Any] = json.loads(text)
    return document["rows"], document["notes"]


def _from_markdown(text: str) -> tuple[list[Row], list[str]]:
    """All tables of a document as rows, and its lines as notes."""
    rows: list[Row] = []
    header: list[str] | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]
        if header is None:
            header = cells
        elif not set(line) <= set("|- "):
            rows.append(dict(zip(header, cells, strict=True)))
    return rows, text.splitlines()


def _number(text: str) -> float:
    found = re.match(NUMBER, text)
    assert found is not None
    return float(found[0].replace(",", ""))


def _spelt(value: float) -> str:
    return f"{value:g}"


def _rounded(value: float, digits: int) -> str:
    """With so many digits behind the point, or three that say something where it is smaller than that."""
    if value and abs(value) < 10.0**-digits:
        return f"{value:.1g}"
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"


def headlines_markdown() -> str:
    """The table of README: a row a benchmark, its headlines beside their bars."""
    lines = ["| what | figure | bar | result |", "|---|---|---|---|"]
    for benchmark in benchmarks():
        found = [look(bar) for bar in benchmark.bars if bar.headline]
        if found:
            figures = "; ".join(f"{one.bar.of} {one.figure}" + (" (missed)" if not one.met else "") for one in found)
            bounds = "; ".join(dict.fromkeys(one.bar.bound for one in found if one.bar.bound))
            link = _page(found[0].bar.result, HERE.parent)
            lines.append(f"| {benchmark.measure} | {figures} | {bounds} | [{benchmark.name}]({link}) |")
    return "\n".join(lines)


def commands_markdown() -> str:
    """The first table of benchmarks/README.md: a row a benchmark, how it is run."""
    lines = ["| name | command | what it measures | in `make bench` |", "|---|---|---|---|"]
    lines += [
        f"| {one.name} | `{one.command}` | {one.measure} | {f'no: {one.alone}' if one.alone else 'yes'} |"
        for one in benchmarks()
    ]
    return "\n".join(lines)


def bars_markdown() -> str:
    """The second table of benchmarks/README.md: a row a figure, with its bar and the reason where it is missed."""
    lines = ["| benchmark | figure | bar | found | |", "|---|---|---|---|---|"]
    for benchmark in benchmarks():
        for found in map(look, benchmark.bars):
            bar = found.bar
            verdict = "" if not bar.bound else "met" if found.met else f"**missed**: {bar.missed}"
            link = _page(bar.result, HERE)
            lines.append(f"| [{benchmark.name}]({link}) | {bar.of} | {bar.bound} | {found.figure} | {verdict} |")
    return "\n".join(lines)


def _page(result: str, beside: Path) -> Path:
    """The page that shows a result, as a document in a folder links to it."""
    return Path(os.path.relpath((RESULTS / result).with_suffix(".md"), beside))

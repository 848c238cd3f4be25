"""Every benchmark has its row, and every kept result meets its bars or says why not."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks import bars, report
from benchmarks.__main__ import _outcome, main
from benchmarks.bars import RESULTS, Bar, Benchmark, benchmarks, look
from tests.stand.worst_cases import BOUND_MB, BOUND_MS

ROOT = Path(__file__).parents[2]
EVERY_BAR = [(benchmark, bar) for benchmark in benchmarks() for bar in benchmark.bars]
LONGEST_CELL = 130  # characters: what a table of the README shows in one line


@pytest.mark.parametrize(
    ("benchmark", "bar"), EVERY_BAR, ids=lambda item: getattr(item, "name", getattr(item, "of", ""))
)
def test_a_kept_result_meets_its_bar_or_says_why_not(benchmark: Benchmark, bar: Bar) -> None:
    """A figure without a number is a row that nobody reads; an excuse for a bar that is met is stale."""
    found = look(bar)
    assert found.values, f"{benchmark.name}: {bar.result} has no row for {bar.of!r}"
    assert found.met == (not bar.missed), f"{benchmark.name}: {bar.of} {found.figure}, {bar.bound}"


def test_every_benchmark_has_a_row() -> None:
    """A module that runs as a benchmark is found in bars.toml, and each row's module is there."""
    named = {benchmark.module for benchmark in benchmarks()}
    assert [name for name in named if importlib.util.find_spec(name) is None] == []
    files = [path for path in (ROOT / "benchmarks").rglob("*.py") if path.parent != ROOT / "benchmarks"]
    runs = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for path in files
        if re.search(
            r"^    .*(report\.run\(main\)|[eE]xit\(main\(\)\))$", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert runs == named


def test_every_kept_result_is_read_by_a_bar() -> None:
    """No result lies there without a row that says what it shows."""
    read = {bar.result for _, bar in EVERY_BAR}
    assert {path.name for path in RESULTS.glob("*.json")} <= read


def test_names_are_unique() -> None:
    """`python -m benchmarks NAME` means one."""
    names = [benchmark.name for benchmark in benchmarks()]
    assert len(names) == len(set(names))


def test_the_readme_table_has_short_cells() -> None:
    """A paragraph in a cell is no figure."""
    cells = [cell for line in bars.headlines_markdown().splitlines() for cell in line.split(" | ")]
    assert [cell for cell in cells if len(cell) > LONGEST_CELL] == []


def test_the_parsers_bars_are_those_that_a_test_holds() -> None:
    """What is measured and what is tested keep one bound."""
    assert [bar.at_most for bar in bars.named("parsers").bars] == [BOUND_MS, BOUND_MB]


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results, and one benchmark whose bar reads from it."""
    bar = Bar(of="p99", result="toy.json", row={"case": "a*"}, column="p99 ms", at_most=40, unit="ms")
    toy = Benchmark(name="toy", module="benchmarks.toy", measure="toy", bars=(bar,))
    for module in (bars, report):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "_written", [])
    monkeypatch.setattr(bars, "benchmarks", lambda: (toy,))
    return tmp_path


@pytest.mark.parametrize(("worst", "status"), [(39.0, 0), (41.0, report.MISSED)])
def test_a_benchmarks_exit_status_follows_its_bar(
    worst: float, status: int, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The worst of the rows that the bar names counts; other rows do not."""

    def measure() -> None:
        rows = [{"case": "a1", "p99 ms": 12.0}, {"case": "a2", "p99 ms": worst}, {"case": "b", "p99 ms": 900.0}]
        report.write("toy", title="Toy", rows=rows, notes=[])

    with pytest.raises(SystemExit) as ended:
        report.run(measure)
    assert ended.value.code == status
    assert ("missed: p99: 12 to 41 ms, the bar is at most 40 ms" in capsys.readouterr().err) == bool(status)
    said = "MISSED" if status else "met"
    assert f"- Bar: p99 at most 40 ms: {said}" in (results / "toy.md").read_text(encoding="utf-8")


def test_a_run_of_a_part_is_judged_by_what_it_measured(results: Path) -> None:
    """A bar whose rows were left out says nothing."""
    (results / "toy.json").write_text(
        json.dumps({"rows": [{"case": "b", "p99 ms": 900.0}], "notes": []}), encoding="utf-8"
    )
    assert list(bars.judged(["toy"])) == []


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({"column": "flips"}, (3.0, 0.0)),
        ({"column": "over", "row": {"kind": "x"}}, (1.17,)),
        ({"column": "share", "row": {"n": 2}}, (55.0,)),
        ({"column": "ms, p50 / p95", "per": "run ms", "row": {"n": 1}}, (0.5,)),
        ({"column": "flips", "row": {"n": 1}, "less": {"n": 2}}, (3.0,)),
        ({"column": "left out"}, ()),
        ({"note": "Install size: {} MB"}, (1305.5,)),
    ],
)
def test_a_figure_is_found_where_results_have_it(
    fields: dict[str, object], values: tuple[float, ...], results: Path
) -> None:
    """Numbers, texts that begin with one, ratios of columns, differences of rows, and notes; a dash was not measured."""
    rows = [
        {"n": 1, "kind": "x", "flips": "3 of 512", "over": "1.17 (1.16..1.18)", "share": "", "ms, p50 / p95": "1.1 / 1.4", "run ms": 2.2, "left out": "-"},
        {"n": 2, "kind": "y", "flips": "0 of 512", "over": "2.0", "share": "55%", "ms, p50 / p95": "-", "run ms": 2.2, "left out": "-"},
    ]  # fmt: skip
    document = {"rows": rows, "notes": ["Install size: 1,305.5 MB (largest: 85)"]}
    (results / "some.json").write_text(json.dumps(document), encoding="utf-8")
    found = look(Bar.model_validate({"of": "it", "result": "some.json", **fields}))
    assert found.values == pytest.approx(values)


def test_a_markdown_result_is_read_table_by_table(results: Path) -> None:
    """Results that are written by hand have several tables; a bold cell is a cell."""
    (results / "hand.md").write_text(
        "| a | b |\n|---|---|\n| x | 1 |\n\n| a | c |\n|---|---|\n| **x** | 0.5 |\n", encoding="utf-8"
    )
    assert look(Bar(of="c", result="hand.md", row={"a": "x"}, column="c")).values == (0.5,)


@pytest.mark.parametrize(
    "fields",
    [{}, {"column": "a", "note": "b"}, {"column": "a", "at_most": 1, "at_least": 0}, {"column": "a", "size": 1}],
)
def test_a_bar_that_says_two_things_or_none_is_refused(fields: dict[str, object]) -> None:
    """One figure, at most one bound, no field that is not known."""
    with pytest.raises(ValidationError):
        Bar.model_validate({"of": "it", "result": "toy.json", **fields})


def test_an_unknown_benchmark_is_refused_with_the_names_that_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs after a slip of the pen."""
    monkeypatch.setattr("sys.argv", ["benchmarks", "frame_pat"])
    with pytest.raises(SystemExit):
        main()
    assert "no benchmark frame_pat; there are frame_path" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "explained", "said"),
    [
        (0, "", ""),
        (1, "", "toy: did not run, status 1"),
        (report.MISSED, "", "toy: missed p99 41 ms, at most 40 ms"),
        (report.MISSED, "the machine was busy", ""),
    ],
)
def test_a_run_of_all_fails_where_one_did_not_run_or_missed_unexplained(
    status: int, explained: str, said: str, results: Path
) -> None:
    """A miss that bars.toml explains is news to nobody."""
    document = {"rows": [{"case": "a", "p99 ms": 41.0}], "notes": []}
    (results / "toy.json").write_text(json.dumps(document), encoding="utf-8")
    bar = Bar(of="p99", result="toy.json", column="p99 ms", at_most=40, unit="ms", missed=explained)
    assert _outcome(Benchmark(name="toy", module="benchmarks.toy", measure="toy", bars=(bar,)), status) == said

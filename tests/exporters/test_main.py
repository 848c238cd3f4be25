"""The command line starts without torch, prints its tables, and turns errors into one line and status 1."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.__main__ import main
from exporters.device import board_names
from tests.exporters.conftest import BOARD, job_for

HEAVY = {"torch", "transformers", "optimum"}
PROBE = """
import sys
from exporters.__main__ import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("LOADED", sorted({"torch", "transformers", "optimum"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("command", [["--help"], ["boards"], ["plan", "RECIPE", "--board", BOARD]], ids=lambda c: c[0])
def test_help_boards_and_plan_start_without_torch(command: list[str], site: Path, siglip: Path) -> None:
    """A plan is needed before heavy things are installed or memory is there."""
    recipe = str(job_for(site, siglip.name).recipe_file)
    arguments = [recipe if word == "RECIPE" else word for word in command]
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=True)
    assert "LOADED []" in done.stderr
    assert done.stdout


def test_boards_shows_every_file(capsys: pytest.CaptureFixture[str]) -> None:
    """One row a board."""
    assert main(["boards"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[1:]] == board_names()


def test_plan_tells_size_time_memory_and_latency(site: Path, siglip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything a person decides on before starting."""
    assert main(["plan", str(job_for(site, siglip.name).recipe_file), "--board", BOARD]) == 0
    out = capsys.readouterr().out
    for word in ("90 normal, 24 crack", "dynamic-int8 x2", "peak memory", "ms on the board"):
        assert word in out


def test_verify_repeats_the_proof(words_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Golden inputs, parity and latency in one table."""
    assert main(["verify", str(words_bundle)]) == 0
    out = capsys.readouterr().out
    assert "golden inputs: 8" in out
    assert "p99" in out


def test_an_error_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback for a wrong path."""
    assert main(["verify", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edge-export: ")
    assert said.count("\n") == 1


def test_a_failing_disk_is_one_line_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own words and the file that it happened to; no traceback."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/out/model.onnx")

    monkeypatch.setattr("exporters.recheck.recheck", full)
    assert main(["verify", "bundle"]) == 1
    assert capsys.readouterr().err == "edge-export: /out/model.onnx: No space left on device.\n"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("quantization = { threads = [8] }", "the board has 2 cores"),
        ("quantization = { threads = [0] }", "quantization.threads.0"),
        ('quantization = { schemes = ["decoder-int4"] }', "siglip has no decoder"),
    ],
)
def test_a_plan_refuses_what_cannot_be_tried(
    extra: str, said: str, site: Path, siglip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, before anything is built."""
    recipe = job_for(site, siglip.name).recipe_file
    (site / "threads.toml").write_text(recipe.read_text().replace("[images]", extra + "\n[images]", 1))
    assert main(["plan", str(site / "threads.toml"), "--board", BOARD]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1

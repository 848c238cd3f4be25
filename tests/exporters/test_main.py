"""The command line starts without torch, prints its tables, and turns errors into one line and status 1."""

from __future__ import annotations

import errno
import os
import signal
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

BARE = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
from exporters.__main__ import EXTRA as MISSING, main
sys.meta_path.insert(0, Missing())
sys.exit(main(sys.argv[1:]))
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

    monkeypatch.setattr("exporters.proof.recheck.recheck", full)
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


@pytest.mark.parametrize("command", ["plan", "build"])
def test_without_the_extra_one_line_says_what_to_install(
    command: str, site: Path, siglip: Path, tmp_path: Path
) -> None:
    """A device's install has the command, but not what it needs: no traceback."""
    recipe = str(job_for(site, siglip.name).recipe_file)
    more = ["--out", str(tmp_path)] if command == "build" else []
    done = subprocess.run(
        [sys.executable, "-c", BARE, command, recipe, "--board", BOARD, *more],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or "pip install 'plantflag[export]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.whole)])
def test_a_signal_leaves_no_working_folder(number: signal.Signals, site: Path, siglip: Path, tmp_path: Path) -> None:
    """A service manager or a closed terminal ends a build as Ctrl-C does: nothing stays in the temporary folder or under --out."""
    work, out = tmp_path / "work", tmp_path / "out"
    work.mkdir()
    recipe = str(job_for(site, siglip.name).recipe_file)
    command = [sys.executable, "-m", "exporters", "build", recipe, "--board", BOARD, "--out", str(out)]
    environment = os.environ | {"TMPDIR": str(work)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as build:
        assert build.stderr is not None
        for line in build.stderr:
            if "edge-export-" in " ".join(path.name for path in work.iterdir()) or "] verify" in line:
                break
        build.send_signal(number)
        told = build.stderr.read()
    assert build.returncode == 128 + number
    assert "stopped; nothing was written" in told
    assert [path.name for path in work.iterdir()] == []
    assert not out.exists()

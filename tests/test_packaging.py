"""What is installed is what is here: the wheel is built, unpacked elsewhere, and used without the source tree."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "optimum", "onnx", "accelerate")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_both_packages_and_every_board(wheel: Path) -> None:
    """No test, example or benchmark is shipped; each board file is."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"edge", "exporters"}
    boards = {path.name for path in (ROOT / "devices").glob("*.toml")}
    assert boards
    assert {f"exporters/_devices/{name}" for name in boards} <= set(names)


def test_the_installed_commands_answer(wheel: Path, tmp_path: Path) -> None:
    """Outside the source tree, from the wheel alone."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    flow = [
        "integration",
        "node-red",
        "--config",
        str(ROOT / "examples" / "site.toml"),
    ]  # needs scripts that are no modules
    for module, arguments in (("edge", ["--help"]), ("edge", ["schema"]), ("edge", flow), ("exporters", ["boards"])):
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_the_daemons_own_install_is_light() -> None:
    """Its dependencies, resolved, hold no toolchain."""
    locked = (ROOT / "deploy" / "locks" / "daemon.txt").read_text(encoding="utf-8")
    names = {line.partition("==")[0] for line in locked.splitlines() if "==" in line and not line.startswith(" ")}
    assert not names & set(HEAVY)
    wanted = {
        requirement.partition(">")[0]
        for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
            "dependencies"
        ]
    }
    assert wanted <= names


def test_locks_name_no_registry() -> None:
    """A lock file works with whatever registry the machine is configured for."""
    for lock in (ROOT / "deploy" / "locks").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--index" not in text

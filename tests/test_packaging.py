"""What is installed is what is here: the wheel is built, unpacked elsewhere, and used without the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.stand.bundles import colour_bundle

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
    assets = {f"edge/page/static/{path.name}" for path in (ROOT / "edge" / "page" / "static").iterdir()}
    assert len(assets) > 5
    assert assets <= set(names)


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


def _claimed_versions() -> list[str]:
    """The versions of Python that the classifiers name, but for the one that runs this."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    named = [line.rpartition(" :: ")[2] for line in classifiers if "Python :: 3." in line]
    return [version for version in named if version != f"{sys.version_info.major}.{sys.version_info.minor}"]


def _interpreter(version: str) -> str | None:
    """A Python of that version that can make an environment: as a command, or among those that pyenv keeps."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, sorted(kept.glob(f"{version}.*/bin/python{version}")))]
    for python in filter(None, found):
        if subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
            return python
    return None


def test_every_version_of_python_is_claimed_that_is_supported() -> None:
    """The oldest one that may install it, and those after it."""
    assert {*_claimed_versions(), f"{sys.version_info.major}.{sys.version_info.minor}"} >= {"3.11", "3.12", "3.13"}


@pytest.mark.whole
@pytest.mark.parametrize("version", _claimed_versions())
def test_the_wheel_runs_on_every_python_that_it_claims(version: str, wheel: Path, tmp_path: Path) -> None:
    """Installed with the daemon's locked dependencies, the daemon proves a bundle; a version whose interpreter is not here is not tried."""
    python = _interpreter(version)
    if python is None:
        pytest.skip(f"python{version} is not installed: the wheel was not tried on it")
    subprocess.run([python, "-m", "venv", tmp_path / "env"], check=True)
    programs = tmp_path / "env/bin"
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps"]
    pip.append("--no-compile")
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "deploy/locks/daemon.txt")], check=True)
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)
    colour_bundle(tmp_path / "bundle")
    site = tmp_path / "site.toml"
    site.write_text(
        f'bundle = "{tmp_path}/bundle"\n[node]\nid = "n"\n[[cameras]]\nid = "cam"\n[runtime]\nallow_other_board = true\n',
        encoding="utf-8",
    )
    for program, *arguments in (
        ["edge-daemon", "--version"],
        ["edge-daemon", "check", "--config", str(site)],
        ["edge-export", "boards"],
    ):
        command = [str(programs / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


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

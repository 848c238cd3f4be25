"""A backtest on a Ray cluster gives what one process gives, also when a worker is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.console.exits import EXIT_FAILED
from exporters.__main__ import main
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.cluster import PYTHON, cluster, kill_worker, needed

PICTURES = 640


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of two nodes."""
    with cluster() as found:
        yield found


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A bundle that says how red a picture is, and pictures of many colours, one that is none."""
    folder = tmp_path_factory.mktemp("archive")
    colour_bundle(folder / "colours")
    (folder / "recording").mkdir()
    for number in range(PICTURES):
        name = f"20270115T08{number // 60:02d}{number % 60:02d}Z.jpg"
        (folder / "recording" / name).write_bytes(
            b"rubbish" if number == 7 else flat_jpeg(number % 256, 255 - number % 256, 90)
        )
    return ["backtest", str(folder / "colours"), "--recording", str(folder / "recording"), "--json"]


def backtest(python: Path | str, *arguments: str) -> object:
    """What the command prints, as data."""
    done = subprocess.run(
        [str(python), "-m", "exporters", *arguments], check=True, capture_output=True, text=True, timeout=300
    )
    return json.loads(done.stdout)


@needed
@pytest.mark.slow
def test_a_cluster_gives_what_one_process_gives(address: str, arguments: list[str]) -> None:
    """Every flag and every transition, of pictures that cannot be judged as well."""
    assert backtest(PYTHON, *arguments, "--ray", address) == backtest(sys.executable, *arguments)


@needed
@pytest.mark.slow
def test_a_killed_worker_loses_nothing(address: str, arguments: list[str]) -> None:
    """What it had not done is given to others."""
    command = [str(PYTHON), "-m", "exporters", *arguments, "--ray", address]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    killed = kill_worker(b"score_there")
    printed, _ = running.communicate(timeout=300)
    assert running.returncode == 0
    assert not Path(f"/proc/{killed}/exe").exists()
    assert printed.startswith("["), printed[:1000]
    assert json.loads(printed) == backtest(sys.executable, *arguments)


@needed
@pytest.mark.slow
def test_no_cluster_is_said_with_its_address(arguments: list[str]) -> None:
    """And not after minutes."""
    command = [str(PYTHON), "-m", "exporters", *arguments, "--ray", "127.0.0.1:9"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == EXIT_FAILED
    assert "no Ray cluster answers at 127.0.0.1:9" in done.stderr


def test_without_ray_it_says_what_to_install(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The extra is large, and few need it."""
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*arguments, "--ray", "127.0.0.1:9"]) == EXIT_FAILED
    assert "plantflag[ray]" in capsys.readouterr().err


def test_processes_and_a_cluster_exclude_each_other(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Both would compute the same scores."""
    assert main([*arguments, "--ray", "127.0.0.1:9", "--workers", "2"]) == EXIT_FAILED
    assert "choose one" in capsys.readouterr().err

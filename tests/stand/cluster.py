"""A Ray cluster of two nodes on this machine, in the environment that `make ray` makes; tests that need it are skipped with a reason where it is absent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stand.ports import free_port

PYTHON = Path(__file__).parents[2] / "build" / "ray-venv" / "bin" / "python"
START_S = 90.0
needed = pytest.mark.skipif(
    not PYTHON.exists(), reason="no Ray here: `make build/ray-venv/.installed` makes its environment"
)


@contextlib.contextmanager
def cluster(python: Path = PYTHON) -> Iterator[str]:
    """Two nodes of one processor each; gives their address."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", f"--temp-dir={folder}"]
        nodes = [_node(python, [*head, "--include-dashboard=false", "--disable-usage-stats"])]
        try:
            _wait_for_nodes(python, port, 1)
            nodes.append(_node(python, [f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.1"]))
            _wait_for_nodes(python, port, 2)
            yield f"127.0.0.1:{port}"
        finally:
            for node in reversed(nodes):
                os.killpg(node.pid, signal.SIGKILL)
                node.wait(20)


def _node(python: Path, options: list[str]) -> subprocess.Popen[bytes]:
    command = [str(python.with_name("ray")), "start", "--block", "--num-cpus=1", "--object-store-memory=100000000"]
    command += ["--min-worker-port=0", "--max-worker-port=0"]  # any: the usual range holds the port of the head
    return subprocess.Popen(
        [*command, *options],
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _wait_for_nodes(python: Path, port: int, count: int) -> None:
    """Until so many nodes answer."""
    asked = (
        "import ray, sys; ray.init(address=sys.argv[1], configure_logging=False, log_to_driver=False); "
        "sys.exit(sum(node['Alive'] for node in ray.nodes()) != int(sys.argv[2]))"
    )
    end = time.monotonic() + START_S
    while not _answers(port) or not _ended_well([str(python), "-c", asked, f"127.0.0.1:{port}", str(count)]):
        assert time.monotonic() < end, f"{count} Ray nodes did not come up in {START_S} s"
        time.sleep(0.5)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _ended_well(command: list[str]) -> bool:
    """Ray waits long for a head node that is not ready yet, so it is asked again sooner."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, check=False, capture_output=True, timeout=15).returncode == 0
    return False


def kill_worker(doing: bytes, timeout_s: float = 60.0) -> int:
    """Kill one worker of any cluster of this machine that does what is named; returns its process number."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"ray::" + doing):
                    os.kill(int(entry.name), signal.SIGKILL)
                    return int(entry.name)
        time.sleep(0.005)
    raise AssertionError(f"no worker of Ray did {doing!r} within {timeout_s} s")

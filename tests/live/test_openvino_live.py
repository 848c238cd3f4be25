"""The daemon in the environment of OpenVINO's build of ONNX Runtime: a bundle or a site asks for the provider, and frames are judged by it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.stand import isolation, openvino
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.daemon import FRAME_TOPIC, ROOT, Sender, bench

pytestmark = [pytest.mark.slow, openvino.needed]
EXECUTION = {"graph": "graph.onnx", "provider": openvino.PROVIDER, "intra_op_threads": 1, "scheme": "float32"}
PLUGIN = "libopenvino_intel_cpu_plugin.so"


@pytest.mark.broker
@pytest.mark.parametrize(
    ("changes", "site"),
    [({"execution": EXECUTION}, {}), ({}, {"runtime": {"provider": openvino.PROVIDER}})],
    ids=["the bundle asks", "the site asks"],
)
def test_the_daemon_goes_live_with_openvino(tmp_path: Path, changes: dict[str, Any], site: dict[str, Any]) -> None:
    """It rehearses and proves the bundle with that provider, flags a red frame, and has OpenVINO's plug-in loaded."""
    colour_bundle(tmp_path / "bundle", graph=openvino.colour_graph(), **changes)
    with bench(tmp_path / "bundle", site=site, python=str(openvino.PYTHON)) as (broker, daemon, ear):
        sender = Sender(broker.port)
        try:
            sender.knock(ear, flat_jpeg(0, 128, 255))
            mark = ear.count()
            sender.publish(FRAME_TOPIC, flat_jpeg(255, 0, 0))
            flag = ear.wait("flag/red", lambda found: found["on"], since=mark)
        finally:
            sender.close()
        assert (flag["verdict"], flag["q"]) == ("fault", "good")
        assert daemon.process is not None
        assert PLUGIN in Path(f"/proc/{daemon.process.pid}/maps").read_text(encoding="utf-8")


def test_without_openvino_the_bundle_is_refused(tmp_path: Path) -> None:
    """The default build of ONNX Runtime does not run it on the CPU instead: exit 3, and where to read on."""
    colour_bundle(tmp_path, execution=EXECUTION)
    python = ROOT / ".venv" / "bin" / "python"
    done = subprocess.run(
        [python, "-m", "edge", "bench", str(tmp_path), "--seconds", "0.1"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 3
    assert "docs/openvino.md" in done.stderr


def test_openvino_sends_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """No packet, no question for a name, no file: its runtime has no telemetry and keeps no cache by itself."""
    if (obstacle := isolation.obstacle()) is not None:
        pytest.skip(obstacle)
    colour_bundle(tmp_path / "bundle", graph=openvino.colour_graph())
    command = [str(openvino.PYTHON), "-m", "edge", "bench", str(tmp_path / "bundle")]
    quiet = isolation.run([*command, "--seconds", "0.5", "--provider", openvino.PROVIDER], tmp_path, linger_s=10.0)
    assert "golden inputs reproduced" in quiet.output, quiet
    assert (quiet.packets, quiet.written, quiet.left) == (0, (), ()), quiet


def test_what_openvino_leaves_to_the_cpu_is_refused(tmp_path: Path) -> None:
    """A graph that the provider does not take whole would run elsewhere than where it was measured: exit 3, and what to do."""
    colour_bundle(tmp_path)
    command = [
        str(openvino.PYTHON),
        "-m",
        "edge",
        "bench",
        str(tmp_path),
        "--seconds",
        "0.1",
        "--provider",
        openvino.PROVIDER,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 3
    assert "Run the bundle on CPUExecutionProvider" in done.stderr

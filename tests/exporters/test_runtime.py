"""`--runtime PYTHON`: candidates are scored and timed by the ONNX Runtime that the device will have, by each provider of the board."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bundle import open_bundle
from edge.errors import ConfigError
from exporters import pipeline
from exporters.device import CPU, load_device
from exporters.plan import plan_build
from exporters.runtime import Runtime, runtime_of
from tests.exporters.conftest import NOW, job_for
from tests.stand import openvino
from tests.stand.daemon import ROOT

INTEL = load_device("intel-n100")[1]


def test_an_interpreter_that_is_none_is_named(tmp_path: Path) -> None:
    """Nothing there, not executable, or without the project: the answer says what to make."""
    with pytest.raises(ConfigError, match="no such interpreter; make one with `make openvino`"):
        runtime_of(tmp_path / "python")
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    with pytest.raises(ConfigError, match=r"does not load the project's stages .*exporters"):
        runtime_of(bare / "bin" / "python")


def test_every_provider_that_is_there_is_a_candidate(site: Path, siglip: Path) -> None:
    """In the board's order; a runtime that has none of them leaves the CPU's; the plan counts them."""
    job = replace(job_for(site, siglip.name), board=INTEL)
    assert job.providers == (CPU,)  # of this environment
    both = replace(job, runtime=Runtime(Path("python"), "1.24.1", (CPU, openvino.PROVIDER)))
    assert both.providers == (openvino.PROVIDER, CPU)
    assert (both.fused(CPU), both.fused(openvino.PROVIDER)) == (job.family.fuses, False)
    assert replace(job, runtime=Runtime(Path("python"), "1", ("Dml",))).providers == (CPU,)
    lines = "\n".join(plan_build(both).lines())
    assert "onnxruntime 1.24.1 of python scores and times the candidates" in lines


@pytest.mark.slow
@openvino.needed
def test_a_build_measures_openvino_beside_the_cpu(site: Path, siglip: Path, tmp_path: Path) -> None:
    """Both providers keep the verdicts of the float checkpoint, the report names them, and the other environment proves the bundle again."""
    extra = 'quantization = { schemes = ["float32"], threads = [1] }'
    job = replace(job_for(site, siglip.name, extra), board=INTEL, board_name="intel-n100")
    said: list[str] = []
    path = pipeline.build(replace(job, runtime=runtime_of(openvino.PYTHON)), tmp_path, now=NOW, log=said.append)
    proof = open_bundle(path).manifest.proof
    assert [one.provider for one in proof.candidates] == [openvino.PROVIDER, CPU]
    assert all(one.parity.flips == 0 and one.parity.max_abs < 1e-3 for one in proof.candidates)
    assert "float32, OpenVINO" in (path / "report.md").read_text(encoding="utf-8")
    command = [
        str(openvino.PYTHON),
        "-m",
        "edge",
        "bench",
        str(path),
        "--seconds",
        "0.2",
        "--provider",
        openvino.PROVIDER,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "golden inputs reproduced" in done.stdout, done.stderr

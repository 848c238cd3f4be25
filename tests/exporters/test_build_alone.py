"""A build on a machine of its own: not one packet, and files in its own folders only. The other commands are in tests/test_network.py."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import pytest

from tests.exporters.conftest import BOARD, job_for
from tests.stand import isolation

QUICK = 'quantization = { schemes = ["float32", "dynamic-int8"], threads = [1] }'


@pytest.mark.slow
def test_a_build_and_its_verification_send_nothing(site: Path, siglip: Path, tmp_path: Path) -> None:
    """From a checkpoint to a bundle with its drawn report, and its proof again: torch, transformers, ONNX and matplotlib all did their work."""
    if (obstacle := isolation.obstacle()) is not None:
        pytest.skip(obstacle)
    recipe = job_for(site, siglip.name, QUICK).recipe_file
    build = ["build", str(recipe), "--board", BOARD, "--out", "bundles"]
    for arguments in (build, ["verify", "bundles/toy-v1"]):
        command = [sys.executable, "-m", "exporters", *arguments]
        done = isolation.run(command, tmp_path, environment=isolation.HOSTILE, timeout_s=300)
        assert done.status == 0, done.output
        assert (done.packets, done.written) == (0, ()), done
        assert set(done.left) <= {f"torchinductor_{getpass.getuser()}"}, done
    assert (tmp_path / "bundles" / "toy-v1" / "scores.png").stat().st_size > 0

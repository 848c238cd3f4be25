"""The ONNX Runtime that the device will have, where it is not the one of this environment: another interpreter, and its providers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError

_ASK = "import exporters.proof.measure, json, onnxruntime as ort; print(json.dumps([ort.__version__, ort.get_available_providers()]))"
_TIMEOUT_S = 120.0
_INSTALL = (
    "make one with `make openvino`, or install this project there with `pip install --no-deps` (docs/openvino.md)"
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """An interpreter that has this project and another build of ONNX Runtime."""

    python: Path
    version: str
    providers: tuple[str, ...]


def runtime_of(python: Path) -> Runtime:
    """Ask an interpreter for its ONNX Runtime.

    Raises:
        ConfigError: there is no such interpreter, or it lacks ONNX Runtime or this project.
    """
    found = shutil.which(python)
    if found is None:
        raise ConfigError(f"--runtime {python}: there is no such interpreter; {_INSTALL}.")
    try:
        done = subprocess.run(
            [found, "-I", "-c", _ASK], capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, errors="replace",
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"--runtime {python}: it does not start ({error}); {_INSTALL}.") from error
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no word"])[-1][:300]
        raise ConfigError(f"--runtime {python}: it does not load the project's stages ({why}); {_INSTALL}.")
    version, providers = json.loads(done.stdout.strip().splitlines()[-1])
    # Not resolved: the link in an environment's folder is what makes it that environment.
    return Runtime(Path(found).absolute(), version, tuple(providers))

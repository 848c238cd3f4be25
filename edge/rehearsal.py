"""Loads and runs a bundle in a separate process under limits first, so that a bad one cannot block or starve the daemon.

A bundle that passes is loaded again by the caller, because a loaded graph cannot change the process; by then it is known to end.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from edge import errors
from edge.assembly import load_engine
from edge.bundle import Bundle, read_manifest
from edge.errors import BundleError, ProofFailed
from edge.explain.setup import prepare_speech
from edge.inference.onnx_session import Brake
from edge.inference.preprocess import CALIBRATION, Preprocessor
from edge.inference.proof import check_golden, check_golden_windows, load_windows
from edge.site.settings import Site

MIB = 1024 * 1024
_BOOT = "import json, sys; job = json.load(sys.stdin); sys.path[:] = job['path']; from edge.rehearsal import main; main(job)"
_BASE_CPU_S = 5.0  # beyond starting Python
_LOAD_MIB_PER_CPU_S = 20.0  # reading, checking and preparing weights
_LONGEST_RUN_S = 10.0  # of one golden input, whatever budget the manifest gives
# starting Python with its libraries takes half a second; slow boards, and busy ones, are many times as slow
_START_WALL_S = 20.0
_PATIENCE = 4  # it runs behind the frames of the running bundle: wall time for each second of processor time
_BASE_MIB = 768  # Python, the libraries and the stacks of threads
_MEMORY_FACTOR = 6  # a swap takes six to seven times the file's size at its peak, the running bundle's copy included
_OOM_FIRST = "1000"  # if memory runs out, the kernel ends this process first
_REFUSED = 3
_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What a rehearsal may take: processor time once Python runs, and wall time, s; memory, MiB."""

    cpu_s: int
    wall_s: float
    memory_mib: int


def rehearsal_limits(bundle: Bundle, budget_ms: float, threads: int) -> PictureLimits:
    """Limits with a margin for every sound bundle of this size and budget.

    Args:
        bundle: opened.
        budget_ms: of a frame.
        threads: that the graph runs on; each may be busy all the time.
    """
    size_mib = sum(entry.size_bytes for entry in bundle.manifest.files) / MIB
    run_s = min(_LONGEST_RUN_S, 2 * budget_ms / 1000) * threads
    manifest = bundle.manifest
    goldens = len(manifest.proof.golden) + sum(len(window.golden) for window in manifest.windows)
    cpu_s = int(_BASE_CPU_S + size_mib / _LOAD_MIB_PER_CPU_S + goldens * run_s)
    return PictureLimits(
        cpu_s, _START_WALL_S + _PATIENCE * cpu_s, int(_BASE_MIB + _MEMORY_FACTOR * size_mib + 16 * threads)
    )


def rehearse(
    bundle: Bundle,
    site: Site | None = None,
    threads: int | None = None,
    limits: PictureLimits | None = None,
    provider: str | None = None,
) -> None:
    """Load and run everything of a bundle that the daemon would, in another process; returns when that succeeded.

    Args:
        bundle: opened, so its files are intact.
        site: what else it would be used for (explanations); None: the flags only.
        threads: inside one operator; None: the number of the site or the bundle.
        limits: None: as `rehearsal_limits` finds.
        provider: of ONNX Runtime; None: that of the site or the bundle.

    Raises:
        BundleError: what the other process found, or that it did not end, took too much, or crashed.
    """
    execution = bundle.manifest.execution
    threads = threads or (site and site.runtime.intra_op_threads) or execution.intra_op_threads
    provider = provider or (site and site.runtime.provider) or execution.provider
    limits = limits or rehearsal_limits(bundle, bundle.manifest.target.budget_ms, threads)
    job = {
        "path": sys.path,
        "bundle": str(bundle.path),
        "sha256": bundle.sha256,
        "site": None if site is None else site.model_dump(mode="json"),
        "threads": threads,
        "provider": provider,
        "cpu_s": limits.cpu_s,
        "memory_mib": limits.memory_mib,
    }
    command = [sys.executable, "-I", "-c", _BOOT]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            answer, _ = process.communicate(json.dumps(job).encode(), timeout=limits.wall_s)
        except subprocess.TimeoutExpired:
            raise _endless(limits, limits.wall_s) from None
        finally:
            process.kill()
    _judge(process.returncode, answer, limits)


def _judge(status: int, answer: bytes, limits: PictureLimits) -> None:
    """Return if the rehearsal passed, else raise its error."""
    if status == 0:
        return
    if status == _REFUSED:
        problem = json.loads(answer)
        kind = getattr(errors, problem["kind"], ProofFailed)
        raise kind(problem["text"])
    if status == -signal.SIGXCPU:
        raise _endless(limits, limits.cpu_s)
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    raise ProofFailed(
        f"The process that tried the bundle ended {how}: a graph in it crashes ONNX Runtime, or needs more than "
        f"{limits.memory_mib} MiB of memory. Export the bundle again."
    )


def _endless(limits: PictureLimits, seconds: float) -> ProofFailed:
    return ProofFailed(
        f"The bundle was not done within {seconds:.0f} s of trying it (allowed: {limits.cpu_s} s of processor time, {limits.wall_s:.0f} s in all): "
        "a graph in it does not end, or the processor is taken. Free the processor, or export the bundle again."
    )


# --- in the other process ---------------------------------------------------------------------------------------------------------------


def main(job: dict[str, Any]) -> NoReturn:
    """Do the job, report what came of it, and end without tidying up: a library that hangs there would keep us."""
    _confine(job["cpu_s"], job["memory_mib"])
    status = 0
    try:
        _perform(job)
    except MemoryError:
        status = _report(ProofFailed(f"The bundle needs more than {job['memory_mib']} MiB of memory here."))
    except BundleError as error:
        status = _report(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller must get the reason
        status = _report(ProofFailed(f"The bundle cannot be tried: {type(error).__name__}: {error}"))
    sys.stdout.flush()
    os._exit(status)


def _report(error: BundleError) -> int:
    json.dump({"kind": type(error).__name__, "text": str(error)[:2000]}, sys.stdout)
    return _REFUSED


def _confine(cpu_s: int, memory_mib: int) -> None:
    """Lowest priority, with limits: this process must not delay frames of the running bundle."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the caller is gone: no one needs the result
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_FIRST, encoding="ascii")
    for kind, limit in (
        (resource.RLIMIT_CPU, math.ceil(time.process_time()) + cpu_s),
        (resource.RLIMIT_DATA, memory_mib * MIB),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (least, hard))  # the soft one ends us; a hard one for processor time would hide why


def _perform(job: dict[str, Any]) -> None:
    """What the daemon does with a bundle before it goes live; how long it takes is judged by the daemon, on its own thread."""
    path = Path(job["bundle"])
    manifest, digest = read_manifest(path)
    if digest != job["sha256"]:
        raise ProofFailed(f"{path} changed while it was tried. Copy bundles into a folder of their own.")
    bundle = Bundle(path, manifest, digest)
    if manifest.input is not None:
        check_golden(
            load_engine(bundle, job["threads"], job["provider"]), bundle, Preprocessor(manifest.input, CALIBRATION)
        )
    check_golden_windows(bundle, load_windows(bundle))
    if job["site"] is not None:
        prepare_speech(Site.model_validate(job["site"]), bundle, Brake(lambda: False), time.process_time_ns)

"""Checks a streamed graph: its float32 form is written once, run on a few pictures, compared with the checkpoint and deleted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.manifest import Execution
from edge.system.board import machine_facts
from exporters.device import CPU
from exporters.job import MIB, Job
from exporters.model import StreamPlan
from exporters.proof import measure, verify

PICTURES = 4
MEMORY_SHARE = 0.5  # of the machine: what else a build holds, and what others do there, need the rest


def need(job: Job) -> StreamPlan | None:
    """What the float32 form takes that is written for the comparison alone; None: memory holds the checkpoint, or a candidate is float32."""
    return None if "float32" in job.schemes else job.stream_plan("float32")


def obstacle(job: Job, folder: Path) -> str | None:
    """Why the float32 form cannot be compared on this machine, in words; None where it can, or needs not be."""
    wanted = need(job)
    return None if wanted is None else lacking(wanted, machine_facts().memory_mib, shutil.disk_usage(folder).free)


def lacking(wanted: StreamPlan, memory_mib: float, free_bytes: float) -> str | None:
    """What a machine with so much memory and free disk lacks; pure."""
    if wanted.runtime_bytes / MIB > MEMORY_SHARE * memory_mib:
        return (
            f"running it takes {wanted.runtime_bytes / MIB:.0f} MiB, over half of this machine's {memory_mib:.0f} MiB"
        )
    if wanted.output_bytes > free_bytes:
        return f"it takes {wanted.output_bytes / MIB:.0f} MiB of disk, {free_bytes / MIB:.0f} MiB are free"
    return None


def unchecked(why: str) -> str:
    """The text of plan and report where the comparison is left out."""
    return (
        f"The float32 graph is not compared with the checkpoint, because {why}: the quantized graphs are held to tolerance.flips_share alone, "
        "so a small error of the graph would pass for quantization. Build on a larger machine to rule that out."
    )


def notes(
    job: Job,
    write: Callable[[Path], Path],
    folder: Path,
    *,
    frames: NDArray[np.uint8],
    reference: NDArray[np.float32],
    log: Callable[[str], None],
) -> tuple[str, ...]:
    """Compare the float32 form with the checkpoint where a streamed build can, and return lines for the report.

    Args:
        job: what is built.
        write: makes the float32 graph at a path.
        folder: for temporary files.
        frames: pictures [N, H, W, 3], of which a few are taken.
        reference: the checkpoint's scores [N, K] of them.
        log: takes a line of progress.

    Raises:
        ExportError: the graph is not the checkpoint.
    """
    if need(job) is None:
        return ()
    why = obstacle(job, folder)
    if why is not None:
        return (unchecked(why),)
    some = np.linspace(0, len(frames) - 1, min(PICTURES, len(frames))).astype(int)
    log(f"the float32 graph on {len(some)} images")
    execution = Execution(graph="float32.onnx", provider=CPU, intra_op_threads=1, scheme="float32")
    own = folder / "float-check"
    own.mkdir()
    try:
        write(own / execution.graph)
        found = measure.score_frames(own, execution, job.input, "scores", frames[some])
    finally:
        shutil.rmtree(own)
    verify.check_exact([fault.id for fault in job.recipe.faults], reference[some], found)
    largest = float(np.abs(reference[some] - found).max())
    return (
        f"The float32 graph, not packed, is the checkpoint: on {len(some)} images scores differ by {largest:.1e} at most.",
    )

"""Predicts what a build will do and need, from the checkpoint's headers alone, without torch."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.errors import ExportError
from edge.inference.picture_scale import scale_notes
from edge.system.board import machine_facts
from exporters.device import Device
from exporters.job import MIB, WEIGHT_COPIES, Job
from exporters.model import Geometry, StreamPlan
from exporters.pictures import images
from exporters.proof import calibrate, float_check
from exporters.proof.measure import together
from exporters.recipe import Recipe

# Measured on this project's reference machine (benchmarks of 2026-11): what the toolchain itself takes, whatever the model.
TOOLCHAIN_MIB = 900.0
TOOLCHAIN_SECONDS = 20.0
GRAPH_BYTES = 40_000  # nodes and names of a graph
INT4_BYTES = 0.625  # of a weight: half a byte, and a float32 scale for every 32
INT4_SLOWDOWN = 1.8  # against int8, over a prompt of some tens of tokens
ATTENTION_SHARE = 0.15  # of a tower's work; it stays float32
RUNTIME_MIB = 100.0  # ONNX Runtime, its libraries and the daemon's own
PIXEL_BYTES = 1500.0  # what running takes for each pixel of the frame; 475 MiB in all at 512 px, as benchmarks/results/onepass_sizes.md found
SCORED_PASSES = 1.0  # of every scheme over every image
PIXEL_NET_SECONDS = 2e-7  # fitting a network over pixels, per pixel and pass, on one core with AMX; thrice that without


@dataclass(frozen=True, slots=True)
class Option:
    """One candidate as estimated: file size and memory to run it in bytes, latency in ms on the board."""

    scheme: str
    threads: int
    size_bytes: float
    running_bytes: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Resolution:
    """One edge in px that the graph could take, with the work of a frame and the latency of the fastest candidate on the board in ms."""

    edge_px: int
    flop: float
    latency_ms: float
    chosen: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A build, estimated: steps in words, candidates, resolutions to choose from, memory in MiB, time in s, and warnings.

    ``export_memory_mib`` is what writing the graphs takes at its peak, ``peak_memory_mib`` the most of the whole build, scoring and timing included.
    """

    steps: tuple[str, ...]
    options: tuple[Option, ...]
    resolutions: tuple[Resolution, ...]
    export_memory_mib: float
    peak_memory_mib: float
    seconds: float
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """For a terminal."""
        head = f"{'candidate':<22}{'size MiB':>10}{'running MiB':>13}{'ms on the board':>18}"
        rows = [
            f"{option.scheme + f' x{option.threads}':<22}{option.size_bytes / MIB:>10.1f}{option.running_bytes / MIB:>13.0f}"
            f"{option.latency_ms:>18.1f}"
            for option in self.options
        ]
        need = (
            f"estimated: {self.peak_memory_mib:.0f} MiB peak memory ({self.export_memory_mib:.0f} MiB to write the graphs) and "
            f"{self.seconds:.0f} s to build"
        )
        return [
            *self.steps,
            "",
            head,
            *rows,
            "",
            *self._resolution_lines(),
            need,
            *(f"warning: {warning}" for warning in self.warnings),
        ]

    def _resolution_lines(self) -> list[str]:
        if len(self.resolutions) < 2:
            return []
        head = f"{'resolution_px':<22}{'GFLOP':>10}{'ms on the board':>18}"
        rows = [
            f"{f'{one.edge_px}' + (' (this recipe)' if one.chosen else ''):<22}{one.flop / 1e9:>10.1f}{one.latency_ms:>18.1f}"
            for one in self.resolutions
        ]
        return [head, *rows, "accuracy at each is the checkpoint's own: build and compare the reports", ""]


def plan_build(job: Job) -> Plan:
    """What a build on this machine would do and need; imports no torch. Raises ConfigError or ExportError."""
    return make_plan(
        job,
        images.count_images(job.recipe, job.base),
        left_out=(
            *images.count_left_out(job.recipe, job.base),
            *(f"pictures of {one}." for one in scale_notes(images.sizes(job.recipe, job.base), job.input)),
        ),
        check_obstacle=float_check.obstacle(job, Path(tempfile.gettempdir())),
        machine_mib=machine_facts().memory_mib,
    )


def make_plan(
    job: Job,
    counts: Mapping[str, int],
    *,
    left_out: Sequence[str] = (),
    check_obstacle: str | None = None,
    machine_mib: float = math.inf,
) -> Plan:
    """Estimate a build; pure.

    Args:
        job: what to export, for which board.
        counts: how many different pictures each class has; empty without site images.
        left_out: what lies where the recipe looks and does not count, in words.
        check_obstacle: why the float32 graph of a streamed build will not be compared with the checkpoint; None: nothing is in the way.
        machine_mib: memory of the machine that builds.

    Raises:
        ExportError: no candidate fits into the board's memory.
    """
    threads = [n for n in job.recipe.quantization.threads or job.board.threads if n <= job.board.cores]
    options = _options(job, threads)
    _check_fits(options, job.board)
    effort = _effort(job, counts, compared=float_check.need(job) if check_obstacle is None else None)
    return Plan(
        steps=_steps(job, counts, threads),
        options=options,
        resolutions=_resolutions(job, threads),
        export_memory_mib=effort.export_mib,
        peak_memory_mib=effort.peak_mib(_timed_mib(options, machine_mib)),
        seconds=effort.seconds,
        warnings=(*_warnings(job, options, counts, check_obstacle), *_arming_warnings(job.recipe, counts), *left_out),
    )


def _options(job: Job, threads: Sequence[int]) -> tuple[Option, ...]:
    """Every scheme on every number of threads."""
    frame_bytes = job.input.width * job.input.height * PIXEL_BYTES
    return tuple(
        Option(
            scheme,
            count,
            size_bytes(job.geometry, scheme),
            size_bytes(job.geometry, scheme) + RUNTIME_MIB * MIB + frame_bytes,
            latency_ms(job.geometry, job.board, scheme, count),
        )
        for scheme in job.schemes
        for count in threads
    )


class _Effort(NamedTuple):
    """Of the build: memory while nothing is written or timed, while the graphs are written, and for the comparison in float32; and its time."""

    idle_mib: float
    export_mib: float
    compared_mib: float
    seconds: float

    def peak_mib(self, timed_mib: float) -> float:
        """Graphs are written, timed and compared one after the other: what takes most."""
        return max(self.export_mib, self.idle_mib + max(timed_mib, self.compared_mib))


def _effort(job: Job, counts: Mapping[str, int], *, compared: StreamPlan | None) -> _Effort:
    recipe, geometry, schemes = job.recipe, job.geometry, len(job.schemes)
    pixels = job.input.width * job.input.height
    total = min(sum(counts.values()), recipe.images.limit)
    # The float32 reference takes float frames, four bytes a value, of every picture at once.
    pictures_mib = total * pixels * 3 * 5 / MIB
    per_frame = latency_ms(geometry, job.board, "float32", 1) / 1e3
    seconds = TOOLCHAIN_SECONDS + total * per_frame * (2 + SCORED_PASSES * schemes) + recipe.tolerance.timing_seconds
    streamed = job.stream_plan("dynamic-int8")
    if streamed is None:
        parameters = geometry.matmul_parameters + geometry.other_parameters
        idle_mib = TOOLCHAIN_MIB + job.checkpoint.parameters * 4 / MIB + pictures_mib
        export_mib = idle_mib + parameters * 4 * (WEIGHT_COPIES - 1) / MIB
    else:
        idle_mib = streamed.idle_bytes / MIB + pictures_mib
        export_mib = streamed.peak_bytes / MIB + pictures_mib
        seconds += streamed.cpu_seconds * schemes
    if compared is not None:
        seconds += compared.cpu_seconds
    if recipe.head.kind == "fitted":
        head, fitted = recipe.head, total * recipe.fitted_share * recipe.head.folds
        passes = head.epochs if head.hidden else 0  # a closed form needs none
        seconds += total * per_frame + fitted * passes * 4e-3
        seconds += fitted * head.grain * head.grain_epochs * pixels * PIXEL_NET_SECONDS
    return _Effort(idle_mib, export_mib, 0.0 if compared is None else compared.runtime_bytes / MIB, seconds)


def _timed_mib(options: Sequence[Option], machine_mib: float) -> float:
    """What the candidates take while they are timed, MiB."""
    sizes = [option.size_bytes for option in options]
    largest = max(option.running_bytes for option in options)
    return (largest - max(sizes) + (sum(sizes) if together(sizes, machine_mib) else max(sizes))) / MIB


def _check_fits(options: Sequence[Option], board: Device) -> None:
    least_mib = min(option.size_bytes for option in options) / MIB
    if least_mib > board.memory_mib:
        raise ExportError(
            f"the smallest graph is estimated at {least_mib:.0f} MiB, and {board.title} has {board.memory_mib} MiB: choose a smaller "
            "checkpoint, another scheme in quantization.schemes, or a board with more memory."
        )


def _resolutions(job: Job, threads: Sequence[int]) -> tuple[Resolution, ...]:
    """What each edge would cost by the fastest scheme."""
    return tuple(
        Resolution(
            edge,
            one.flop,
            min(latency_ms(one, job.board, scheme, count) for scheme in job.schemes for count in threads),
            chosen=edge == job.pixels.width,
        )
        for edge, one in job.sizes
    )


def size_bytes(geometry: Geometry, scheme: str) -> float:
    """Size of the ONNX file: products in int8 or float32, the rest in float32."""
    width = 4 if scheme == "float32" else 1
    weights = float(geometry.matmul_parameters * width)
    if scheme == "decoder-int4":
        weights -= geometry.decoder_parameters * (1 - INT4_BYTES)
    return weights + geometry.other_parameters * 4 + GRAPH_BYTES


def latency_ms(geometry: Geometry, board: Device, scheme: str, threads: int) -> float:
    """Time of one inference on the board, from its declared throughput; the second thread is worth less than the first."""
    speed = board.throughput.fp32_gflops * 1e9
    if scheme == "float32":
        seconds = geometry.flop / speed
    elif scheme == "decoder-int4":
        # Slower for scoring, fewer bytes for one token: `benchmarks/results` has what was measured, a build measures again.
        return INT4_SLOWDOWN * latency_ms(geometry, board, "dynamic-int8", threads)
    else:
        products = geometry.flop * (1 - ATTENTION_SHARE)
        seconds = products / (board.throughput.int8_gops * 1e9) + geometry.flop * ATTENTION_SHARE / speed
    return seconds * 1e3 / (1 + 0.8 * (threads - 1))


def _steps(job: Job, counts: Mapping[str, int], threads: Sequence[int]) -> tuple[str, ...]:
    checkpoint, frame, schemes = job.checkpoint, job.input, job.schemes
    shown = (
        ", ".join(f"{count} {name}" for name, count in counts.items())
        or "none: synthetic frames, nothing will be armed"
    )
    return (
        f"load        {checkpoint.folder.name}: {job.family.name}, {checkpoint.parameters / 1e6:.1f} M parameters",
        f"specialise  uint8 [1, {frame.height}, {frame.width}, 3], {frame.resize}, normalisation in the graph; {job.family.keeps}",
        *(["crosscheck  optimum exports the same checkpoint, offline; evidence must agree"] if job.crosscheck else []),
        f"prompts     {len(job.questions)} faults, {job.family.prompts(job.recipe)}",
        f"images      {shown}",
        f"quantize    {', '.join(schemes)}"
        + ("; weights stay on disk, written tensor by tensor" if job.streamed else ""),
        *(
            [f"runtime     onnxruntime {job.runtime.version} of {job.runtime.python} scores and times the candidates"]
            if job.runtime
            else []
        ),
        f"verify      {len(job.providers) * len(schemes) * len(threads)} candidates on {' or '.join(map(str, threads))} threads, taking turns",
        "pack        the fastest that keeps the verdicts",
    )


def _warnings(
    job: Job, options: tuple[Option, ...], counts: Mapping[str, int], check_obstacle: str | None
) -> tuple[str, ...]:
    board, budget = job.board, job.budget_ms
    found = []
    if min(option.latency_ms for option in options) > budget:
        found.append(
            f"every candidate is estimated above the budget of {budget:g} ms: choose a smaller checkpoint or a faster board."
        )
    running_mib = min(option.running_bytes for option in options) / MIB
    if running_mib > board.memory_mib / 2:
        found.append(
            f"running takes {running_mib:.0f} MiB at least, more than half of the board's {board.memory_mib} MiB; a build that measures "
            "more than all of it is refused."
        )
    if check_obstacle is not None:
        found.append(f"the float32 graph will not be compared with the checkpoint: {check_obstacle}.")
    if not counts:
        found.append("no site images: thresholds come from the words alone and no fault will be armed.")
    return tuple(found)


def _arming_warnings(recipe: Recipe, counts: Mapping[str, int]) -> list[str]:
    """What will not be armed or not be proven, and how many pictures are missing for it."""
    normal = counts.get(images.NORMAL, 0)
    if not counts:
        return []
    share = calibrate.calibrating_share(recipe)
    needed = calibrate.images_needed(recipe.tolerance.false_alarm_bound)
    missing = math.ceil(needed / share) - min(normal, recipe.images.limit)
    ids = ", ".join(fault.id for fault in recipe.faults)
    found = []
    if missing > 0:
        kind = "groups of normal pictures" if recipe.tolerance.by_group else "normal pictures"
        found.append(
            f"no fault will be armed ({ids}): a false-alarm bound of {recipe.tolerance.false_alarm_bound:g} needs {needed} {kind} that calibrate, "
            f"and {share:.0%} of {normal} pictures do: {missing} more are missing. Add them, or raise tolerance.false_alarm_bound."
        )
    bare = [fault.id for fault in recipe.faults if not counts.get(fault.id)]
    if bare:
        found.append(
            f"there are no pictures of {', '.join(bare)}: what is detected of it is not measured, and its threshold is proven on one side only."
        )
    return found

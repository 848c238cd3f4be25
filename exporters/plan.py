"""What a build will do and need, before it does it: from the checkpoint's headers alone, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edge.errors import ExportError
from exporters.device import Device
from exporters.families.base import Checkpoint, Geometry, PixelSpec
from exporters.recipe import Recipe

MIB = 2**20
# Measured on this project's reference machine (benchmarks of 2026-11): what the toolchain itself takes, whatever the model.
TOOLCHAIN_MIB = 900.0
TOOLCHAIN_SECONDS = 20.0
WEIGHT_COPIES = 4.0  # checkpoint, traced program, ONNX message, and the quantizer's copy, float32 each
GRAPH_BYTES = 40_000  # nodes and names of a graph
INT4_BYTES = 0.625  # of a weight: half a byte, and a float32 scale for every 32
INT4_SLOWDOWN = 1.8  # against int8, over a prompt of some tens of tokens
ATTENTION_SHARE = 0.15  # of a tower's work; it stays float32
RUNTIME_MIB = 100.0  # ONNX Runtime, its libraries and the daemon's own
PIXEL_BYTES = 1500.0  # what running takes for each pixel of the frame; 475 MiB in all at 512 px, as benchmarks/results/onepass_sizes.md found
TOGETHER_SHARE = 0.25  # of the machine's memory: so much may candidates take that are timed while all are loaded
SCORED_PASSES = 1.0  # of every scheme over every image
GRAIN_SECONDS = 2e-7  # fitting a network over pixels, per pixel and pass, on one core with AMX; thrice that without


class Need(Protocol):
    """What a streamed export takes."""

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory."""
        ...

    @property
    def cpu_seconds(self) -> float:
        """Processor time, s."""
        ...

    @property
    def idle_bytes(self) -> int:
        """Resident memory when nothing is being written."""
        ...

    @property
    def runtime_bytes(self) -> int:
        """Resident memory to run what was written."""
        ...


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


def make_plan(
    recipe: Recipe,
    board: Device,
    *,
    checkpoint: Checkpoint,
    spec: PixelSpec,
    geometry: Geometry,
    images: Mapping[str, int],
    family: str,
    sizes: Sequence[tuple[int, Geometry]] = (),
    schemes: tuple[str, ...] = (),
    streamed: Need | None = None,
    check: Need | None = None,
    check_obstacle: str | None = None,
    machine_mib: float = math.inf,
) -> Plan:
    """Estimate a build.

    Args:
        recipe: what to export.
        board: for which board.
        checkpoint: headers of the checkpoint.
        spec: its input.
        geometry: size and work of the graph.
        images: how many pictures each class has; empty without site images.
        family: name of its family.
        sizes: edges in px that the graph could take instead, and its size and work then.
        schemes: what to try; none: the recipe's, else the board's.
        streamed: what writing one scheme tensor by tensor takes; None: the checkpoint is held in memory.
        check: likewise for the float32 graph that is written only to be compared with the checkpoint; None: there is none.
        check_obstacle: why it will not be; None: nothing is in the way.
        machine_mib: memory of the machine that builds.

    Raises:
        ExportError: no candidate fits into the board's memory.
    """
    schemes = schemes or recipe.quantization.schemes or board.schemes
    threads = [n for n in recipe.quantization.threads or board.threads if n <= board.cores]
    options = _options(geometry, board, spec, schemes, threads)
    _check_fits(options, board)
    effort = _effort(
        recipe,
        board,
        checkpoint=checkpoint,
        spec=spec,
        geometry=geometry,
        images=images,
        schemes=len(schemes),
        streamed=streamed,
        compared=check if check_obstacle is None else None,
    )
    return Plan(
        steps=_steps(
            recipe,
            checkpoint=checkpoint,
            spec=spec,
            family=family,
            images=images,
            schemes=schemes,
            threads=threads,
            generative=bool(sizes),
            streamed=streamed is not None,
        ),
        options=options,
        resolutions=_resolutions(board, schemes, threads, sizes, spec.width),
        export_memory_mib=effort.export_mib,
        peak_memory_mib=effort.peak_mib(_timed_mib(options, machine_mib)),
        seconds=effort.seconds,
        warnings=_warnings(recipe, board, options, images, check_obstacle),
    )


def _options(
    geometry: Geometry, board: Device, spec: PixelSpec, schemes: Sequence[str], threads: Sequence[int]
) -> tuple[Option, ...]:
    """Every scheme on every number of threads."""
    return tuple(
        Option(
            scheme,
            count,
            size_bytes(geometry, scheme),
            size_bytes(geometry, scheme) + RUNTIME_MIB * MIB + spec.width * spec.height * PIXEL_BYTES,
            latency_ms(geometry, board, scheme, count),
        )
        for scheme in schemes
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


def _effort(
    recipe: Recipe,
    board: Device,
    *,
    checkpoint: Checkpoint,
    spec: PixelSpec,
    geometry: Geometry,
    images: Mapping[str, int],
    schemes: int,
    streamed: Need | None,
    compared: Need | None,
) -> _Effort:
    total = min(sum(images.values()), recipe.images.limit)
    # The float32 reference takes float frames, four bytes a value, of every picture at once.
    pictures_mib = total * spec.width * spec.height * 3 * 5 / MIB
    per_frame = latency_ms(geometry, board, "float32", 1) / 1e3
    seconds = TOOLCHAIN_SECONDS + total * per_frame * (2 + SCORED_PASSES * schemes) + recipe.tolerance.timing_seconds
    if streamed is None:
        parameters = geometry.matmul_parameters + geometry.other_parameters
        idle_mib = TOOLCHAIN_MIB + checkpoint.parameters * 4 / MIB + pictures_mib
        export_mib = idle_mib + parameters * 4 * (WEIGHT_COPIES - 1) / MIB
    else:
        idle_mib = streamed.idle_bytes / MIB + pictures_mib
        export_mib = streamed.peak_bytes / MIB + pictures_mib
        seconds += streamed.cpu_seconds * schemes
    if compared is not None:
        seconds += compared.cpu_seconds
    if recipe.head.kind == "fitted":
        head, fitted = recipe.head, total * recipe.fitted_share * recipe.head.folds
        seconds += total * per_frame + fitted * head.epochs * 4e-3
        seconds += fitted * head.grain * head.grain_epochs * spec.width * spec.height * GRAIN_SECONDS
    return _Effort(idle_mib, export_mib, 0.0 if compared is None else compared.runtime_bytes / MIB, seconds)


def together(sizes_bytes: Sequence[float], machine_mib: float) -> bool:
    """Whether candidates of these sizes are all loaded while they are timed in turns; else one at a time."""
    return sum(sizes_bytes) / MIB <= TOGETHER_SHARE * machine_mib


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


def _resolutions(
    board: Device,
    schemes: Sequence[str],
    threads: Sequence[int],
    sizes: Sequence[tuple[int, Geometry]],
    chosen_px: int,
) -> tuple[Resolution, ...]:
    """What each edge would cost by the fastest scheme."""
    return tuple(
        Resolution(
            edge,
            one.flop,
            min(latency_ms(one, board, scheme, count) for scheme in schemes for count in threads),
            chosen=edge == chosen_px,
        )
        for edge, one in sizes
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


def _steps(
    recipe: Recipe,
    *,
    checkpoint: Checkpoint,
    spec: PixelSpec,
    family: str,
    images: Mapping[str, int],
    schemes: tuple[str, ...],
    threads: list[int],
    generative: bool,
    streamed: bool,
) -> tuple[str, ...]:
    phrases = sum(
        len(fault.words) + (0 if generative else len(recipe.normal_words_of(fault))) for fault in recipe.faults
    )
    shown = (
        ", ".join(f"{count} {name}" for name, count in images.items())
        or "none: synthetic frames, nothing will be armed"
    )
    head = "text embeddings become constants" if recipe.head.kind == "words" else "a head is fitted on frozen features"
    if recipe.head.folds > 1:
        head = f"a head of {recipe.head.folds} members is fitted on frozen features, each without one fold"
    if generative:
        short = recipe.generative.questions == "one-token"
        head = "each becomes one token fitted on the images" if short else "each a branch over the shared prefix"
    kept = "tower, decoder and two rows of the vocabulary" if generative else "vision tower only"
    return (
        f"load        {checkpoint.folder.name}: {family}, {checkpoint.parameters / 1e6:.1f} M parameters",
        f"specialise  uint8 [1, {spec.height}, {spec.width}, 3], {spec.resize}, normalisation in the graph; {kept}",
        f"prompts     {len(recipe.faults)} faults, {phrases} phrasings; {head}",
        f"images      {shown}",
        f"quantize    {', '.join(schemes)}" + ("; weights stay on disk, written tensor by tensor" if streamed else ""),
        f"verify      {len(schemes) * len(threads)} candidates on {' or '.join(map(str, threads))} threads, taking turns",
        "pack        the fastest that keeps the verdicts",
    )


def _warnings(
    recipe: Recipe,
    board: Device,
    options: tuple[Option, ...],
    images: Mapping[str, int],
    check_obstacle: str | None,
) -> tuple[str, ...]:
    budget = recipe.budget_ms or board.budget_ms
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
    if not images:
        found.append("no site images: thresholds come from the words alone and no fault will be armed.")
    return tuple(found)

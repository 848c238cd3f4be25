"""Times graphs as the daemon runs them, in a separate process and in turns, so that a noisy machine affects all alike.

Run as ``python -m exporters.proof.measure < job.json > result.json``: a fresh process without torch, so that memory and threads are the daemon's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, TypeAdapter

from edge.errors import ExportError, WrongBoard
from edge.inference.engine import Engine
from edge.inference.preprocess import CALIBRATION, Preprocessor
from edge.manifest import Execution, InputSpec, Latency
from edge.system.board import machine_facts

WARM_UP_RUNS = 5
LOADED_TURNS = 3  # of each graph, where it is loaded for its turn
KIB_PER_MIB = 1024
BUSY_SHARE = 0.15  # of the machine's cores; with less taken by others the median stays, by benchmarks/jitter.py
_BUSY_FIELDS = (1, 2, 3, 6, 7, 8)  # of a line of /proc/stat: user, nice, system, irq, softirq, stolen by other guests
MIB = 2**20
REFUSED = 3  # exit status of the measuring process: the provider does not run the graph
TOGETHER_SHARE = 0.25  # of the machine's memory: so much may candidates take that are timed while all are loaded


class Job(BaseModel):
    """What to time: graphs under ``folder``, run on one picture; ``runs`` each, or as many as ``seconds`` allow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    executions: tuple[Execution, ...]
    input: InputSpec
    output: str
    picture: Path
    runs: int
    seconds: float
    together: bool = True  # all graphs are held at once; else each is loaded for its turn and dropped after it


class Scoring(BaseModel):
    """What to score: pictures uint8 [N, H, W, 3] in a file of numpy's, by one graph; the scores go into another such file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path
    execution: Execution
    input: InputSpec
    output: str
    frames: Path
    scores: Path


class Timing(BaseModel):
    """What was found: per execution the inference and the whole-frame distribution; the process's peak memory, MiB; cores that others took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    infer: tuple[Latency, ...]
    frame: tuple[Latency, ...]
    peak_rss_mib: float
    others_cores: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether others took so much of this machine meanwhile that the figures are theirs as well."""
        return self.others_cores > BUSY_SHARE * machine_facts().cores


def together(sizes_bytes: Sequence[float], machine_mib: float) -> bool:
    """Whether candidates of these sizes are all loaded while they are timed in turns; else one at a time."""
    return sum(sizes_bytes) / MIB <= TOGETHER_SHARE * machine_mib


def measure(job: Job, python: Path | None = None) -> Timing:
    """Run a job in a process of its own, of another interpreter if one is given. Raises ExportError with that process's last words."""
    return Timing.model_validate_json(_in_process(job, python))


def _in_process(job: Job | Scoring, python: Path | None) -> str:
    """The other interpreter has an installation of its own, and must not find this environment's libraries in a working folder."""
    command = [str(python), "-I"] if python else [sys.executable]
    done = subprocess.run(
        [*command, "-m", "exporters.proof.measure"],
        input=job.model_dump_json(),
        capture_output=True,
        text=True,
        check=False,
        cwd=job.folder if python else Path(__file__).resolve().parents[2],
    )
    if done.returncode == REFUSED:
        raise WrongBoard(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        raise ExportError(f"the measuring process failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def score_frames(
    folder: Path,
    execution: Execution,
    spec: InputSpec,
    output: str,
    frames: NDArray[np.uint8],
    *,
    python: Path | None = None,
) -> NDArray[np.float32]:
    """Scores [N, K] of frames [N, H, W, 3] by the daemon's own inference stage, in another interpreter if one is given.

    Raises:
        WrongBoard: the provider does not run the whole graph.
    """
    if python is not None:
        job = Scoring(
            folder=folder, execution=execution, input=spec, output=output,
            frames=folder / "frames.npy", scores=folder / "scores.npy",
        )  # fmt: skip
        np.save(job.frames, frames)
        _in_process(job, python)
        found: NDArray[np.float32] = np.load(job.scores)
        return found
    engine = Engine.load(folder / execution.graph, execution, input_name=spec.name, output_name=output)
    return np.stack([engine.run(frame[None]) for frame in frames])


def distribution(samples_ms: Sequence[float], scope: str, machine: str) -> Latency:
    """Percentiles of some samples, ms."""
    values = np.asarray(samples_ms)
    p50, p95, p99 = (round(float(np.percentile(values, share)), 3) for share in (50, 95, 99))
    return Latency.model_validate(
        {
            "scope": scope,
            "machine": machine,
            "runs": len(values),
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "max_ms": round(float(values.max()), 3),
        }
    )


def peak_rss_mib(status: str) -> float:
    """Peak resident memory from the text of /proc/self/status, MiB (getrusage would report the parent's before exec)."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return round(int(found.group(1)) / KIB_PER_MIB, 1) if found else 0.0


def run(job: Job) -> Timing:
    """Run a job in this very process."""
    stage = Preprocessor(job.input, CALIBRATION)
    encoded = job.picture.read_bytes()
    began_s, busy_s, own_s = time.monotonic(), processors_busy_s(), time.process_time()
    infer, frame = _held(job, stage, encoded) if job.together else _loaded_in_turns(job, stage, encoded)
    others_s = (processors_busy_s() - busy_s) - (time.process_time() - own_s)
    machine = machine_facts().name
    return Timing(
        infer=tuple(distribution(samples, "infer", machine) for samples in infer),
        frame=tuple(distribution(samples, "frame", machine) for samples in frame),
        peak_rss_mib=peak_rss_mib(Path("/proc/self/status").read_text(encoding="ascii")),
        others_cores=round(max(0.0, others_s / (time.monotonic() - began_s)), 2),
    )


def processors_busy_s() -> float:
    """Time that the processors that we may use have worked since the machine started, for anybody, s."""
    usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    lines = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
    ticks = sum(int(line[place]) for line in lines if line[0] in usable for place in _BUSY_FIELDS)
    return ticks / os.sysconf("SC_CLK_TCK")


def _load(job: Job, execution: Execution) -> Engine:
    return Engine.load(job.folder / execution.graph, execution, input_name=job.input.name, output_name=job.output)


def _whole(engine: Engine, stage: Preprocessor, encoded: bytes) -> None:
    """A frame as the daemon takes it: decoded, then run."""
    engine.run(stage.prepare(encoded))


def _held(job: Job, stage: Preprocessor, encoded: bytes) -> tuple[list[list[float]], list[list[float]]]:
    """Samples of inference and of the whole frame, per execution: all graphs in memory, a run each in turn."""
    tensor = stage.prepare(encoded)
    engines = [_load(job, execution) for execution in job.executions]
    for engine in engines:
        engine.warm_up(tensor, WARM_UP_RUNS, time.perf_counter_ns)
    half = job.seconds / 2
    infer = _take_turns([partial(engine.run, tensor) for engine in engines], job.runs, half)
    frame = _take_turns([partial(_whole, engine, stage, encoded) for engine in engines], job.runs, half)
    return infer, frame


def _loaded_in_turns(job: Job, stage: Preprocessor, encoded: bytes) -> tuple[list[list[float]], list[list[float]]]:
    """The same with one graph in memory at a time: a turn is longer, for it begins with loading the graph."""
    tensor = stage.prepare(encoded)
    infer: list[list[float]] = [[] for _ in job.executions]
    frame: list[list[float]] = [[] for _ in job.executions]
    runs = -(-job.runs // LOADED_TURNS)
    seconds = job.seconds / (2 * LOADED_TURNS * len(job.executions))
    for _ in range(LOADED_TURNS):
        for execution, inferred, framed in zip(job.executions, infer, frame, strict=True):
            engine = _load(job, execution)
            engine.warm_up(tensor, 1, time.perf_counter_ns)
            whole = partial(_whole, engine, stage, encoded)
            inferred.extend(_take_turns([partial(engine.run, tensor)], runs, seconds, least=1)[0])
            framed.extend(_take_turns([whole], runs, seconds, least=1)[0])
            del engine, whole  # before the next is loaded
    return infer, frame


def _take_turns(
    calls: Sequence[Callable[[], object]], runs: int, seconds: float, *, least: int = 3
) -> list[list[float]]:
    """Time each call ``runs`` times in rounds, ms; stops after ``seconds``, but not before ``least`` rounds."""
    samples: list[list[float]] = [[] for _ in calls]
    until = time.perf_counter() + seconds
    for done in range(runs):
        if done >= least and time.perf_counter() > until:
            break
        for call, mine in zip(calls, samples, strict=True):
            start = time.perf_counter()
            call()
            mine.append((time.perf_counter() - start) * 1e3)
    return samples


def main(text: str) -> int:
    """Do a job given as JSON: a timing is printed, scores are saved."""
    job: Job | Scoring = TypeAdapter(Job | Scoring).validate_json(text)
    try:
        if isinstance(job, Job):
            sys.stdout.write(run(job).model_dump_json())
        else:
            np.save(job.scores, score_frames(job.folder, job.execution, job.input, job.output, np.load(job.frames)))
    except WrongBoard as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin.read()))

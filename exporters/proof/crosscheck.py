"""Exports the same dual encoder by optimum in an environment of its own, and compares the evidence with ours.

Two exporters and two versions of transformers share no code here. A fault in our own text or image call, which a comparison with our own stack
repeats, shows as a difference. The other side is `exporters.proof.optimum_export`, started by path with the interpreter that the user names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError, ExportError
from edge.inference.onnx_session import open_session
from edge.manifest import Crosscheck, Execution
from exporters.device import CPU
from exporters.graph import export
from exporters.job import Job
from exporters.model import Model, Question
from exporters.pictures.images import Dataset
from exporters.progress import Progress
from exporters.proof.optimum_export import MISSING

PICTURES = 64  # compared, evenly taken
TOLERANCE = 1e-3  # of evidence: float32 through two runtimes differs by less
TIMEOUT_S = 3600.0
SCRIPT = Path(__file__).with_name("optimum_export.py")
# The other environment is not ours to configure: it gets no network and no cache of downloads.
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
INSTALL = (
    "make one with `python3 -m venv ENV` and `ENV/bin/pip install optimum==2.1.0 optimum-onnx==0.1.0 transformers==4.57.6 "
    "onnxruntime sentencepiece`, and give --crosscheck ENV/bin/python"
)


@dataclass(frozen=True, slots=True)
class Peer:
    """An interpreter that has optimum, and the versions of its packages, e.g. ``optimum 2.1.0``."""

    python: Path
    versions: tuple[str, ...]


def find_peer(job: Job) -> Peer | None:
    """The other environment of a build that is to be cross-checked; None where it is not. Before any work is done.

    Raises:
        ConfigError: the interpreter is not there or lacks optimum, or the checkpoint is none that optimum exports.
    """
    if job.crosscheck is None:
        return None
    if not job.family.crosschecks:
        raise ConfigError(
            f"--crosscheck is for SigLIP and CLIP checkpoints, which optimum exports; {job.checkpoint.folder.name} is {job.family.name}: "
            "leave it out."
        )
    if not job.recipe.faults:
        raise ConfigError("--crosscheck compares faults in words, and the recipe has none: leave it out.")
    return peer_of(job.crosscheck)


def peer_of(python: Path) -> Peer:
    """Ask an interpreter for its packages. Raises ConfigError."""
    found = shutil.which(python)
    if found is None:
        raise ConfigError(f"--crosscheck {python}: there is no such interpreter; {INSTALL}.")
    with tempfile.TemporaryDirectory(prefix="crosscheck-") as cache:
        done = _run([found, "-I", str(SCRIPT), "versions"], Path(cache))
    answer = _last_line(done.stdout)
    if done.returncode == MISSING and "missing" in answer:
        raise ConfigError(f"--crosscheck {python}: that interpreter lacks {answer['missing']}; {INSTALL}.")
    if done.returncode or not answer:
        raise ConfigError(f"--crosscheck {python}: it does not run Python ({_why(done)}); {INSTALL}.")
    # Not resolved: the link in an environment's folder is what makes it that environment.
    return Peer(Path(found).absolute(), tuple(f"{name} {version}" for name, version in answer.items()))


def crosscheck_build(
    job: Job, model: Model, dataset: Dataset, *, peer: Peer | None, folder: Path, step: Progress
) -> Crosscheck | None:
    """Compare on some of the recipe's pictures, evenly taken, every named fault in words; nothing without a peer. Raises ExportError."""
    if peer is None:
        return None
    step("crosscheck", f"optimum exports the same checkpoint: {', '.join(peer.versions)}")
    some = np.linspace(0, len(dataset.frames) - 1, min(PICTURES, len(dataset.frames))).astype(int)
    named = [question for question in job.questions if question.words]
    return crosscheck(job.checkpoint.folder, model, named, dataset.frames[some], peer=peer, folder=folder)


def crosscheck(
    checkpoint: Path,
    model: Model,
    questions: Sequence[Question],
    frames: NDArray[np.uint8],
    *,
    peer: Peer,
    folder: Path,
) -> Crosscheck:
    """Export by both, run both graphs in ONNX Runtime, and compare.

    Args:
        checkpoint: the folder that both export.
        model: the same, loaded.
        questions: K faults in words.
        frames: pictures uint8 [N, H, W, 3] of the graph's size.
        peer: the other environment.
        folder: for temporary files; a folder in it is made and removed.

    Raises:
        ExportError: optimum does not export it, or evidence differs by more than rounding does.
    """
    work = folder / "crosscheck"
    work.mkdir()
    try:
        phrases = list(dict.fromkeys(phrase for one in questions for phrase in (*one.words, *one.normal_words)))
        for name, values in model.public_inputs(frames, phrases).items():
            np.save(work / f"{name}.npy", values)
        done = _run([str(peer.python), "-I", str(SCRIPT), "export", str(checkpoint.resolve()), str(work)], work)
        if done.returncode:
            raise ExportError(
                f"optimum does not export {checkpoint.name} ({_why(done)}): leave --crosscheck out, or try other versions of it."
            )
        theirs = contrast(np.load(work / "logits.npy"), phrases, questions)
        ours = _our_evidence(model, questions, frames, work)
    finally:
        shutil.rmtree(work)
    return judge(ours, theirs, questions, peer.versions)


def judge(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], questions: Sequence[Question], versions: Sequence[str]
) -> Crosscheck:
    """The comparison of evidence [N, K]; pure. Raises ExportError where it differs by more than `TOLERANCE`."""
    difference = np.abs(ours - theirs)
    largest = float(difference.max())
    if not largest <= TOLERANCE:  # NaN is a difference too
        worst = questions[int(np.nan_to_num(difference, nan=np.inf).max(axis=0).argmax())]
        raise ExportError(
            f"optimum's export of this checkpoint gives other evidence: it differs by up to {largest:.2e} (allowed {TOLERANCE:g}), most for "
            f"fault {worst.id!r}. Nothing was written; please report the model's configuration and {', '.join(versions)}."
        )
    return Crosscheck(
        versions=tuple(versions),
        pictures=len(ours),
        faults=len(questions),
        largest_difference=largest,
        spread=float(np.ptp(ours)),
    )


def contrast(logits: NDArray[np.float32], phrases: Sequence[str], questions: Sequence[Question]) -> NDArray[np.float32]:
    """Logits [N, P] of phrases to evidence [N, K]: mean of a fault's phrasings less that of its normal state's; a common bias cancels."""
    column = {phrase: index for index, phrase in enumerate(phrases)}

    def mean(words: Sequence[str]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = logits[:, [column[phrase] for phrase in words]].mean(axis=1)
        return found

    return np.stack([mean(one.words) - mean(one.normal_words) for one in questions], axis=1)


def _our_evidence(
    model: Model, questions: Sequence[Question], frames: NDArray[np.uint8], work: Path
) -> NDArray[np.float32]:
    """Evidence [N, K] by our own ONNX graph, before it becomes scores."""
    height, width = frames.shape[1:3]
    graph = export.export(model.graph(questions, None), height, width, work / "ours.onnx")
    execution = Execution(graph=graph.name, provider=CPU, intra_op_threads=1, scheme="float32")
    session = open_session(graph, execution)
    return np.concatenate([session.run([export.OUTPUT], {export.INPUT: frame[None]})[0] for frame in frames])


def _run(command: Sequence[str], cache: Path) -> subprocess.CompletedProcess[str]:
    """One run of the other interpreter: offline, and with a cache of its own so that nothing found elsewhere is used. Raises ExportError."""
    environment: Mapping[str, str] = {**os.environ, **OFFLINE, "HF_HOME": str(cache / "hf-home")}
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, errors="replace"
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"optimum took longer than {TIMEOUT_S:.0f} s: leave --crosscheck out.") from error
    except OSError as error:
        raise ConfigError(f"--crosscheck {command[0]}: it does not start ({error.strerror}); {INSTALL}.") from error


def _last_line(text: str) -> dict[str, Any]:
    """The answer: libraries may print before it."""
    try:
        found = json.loads(text.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _why(done: subprocess.CompletedProcess[str]) -> str:
    lines = done.stderr.strip().splitlines()
    return lines[-1][:300] if lines else f"exit status {done.returncode}"

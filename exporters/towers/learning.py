"""Trains a student on a teacher's patch features: seeded, over the site's own pictures, and resumable.

The teacher sees each view of a picture once; its features are kept on disk under the view's content. The student is judged by pictures of groups
that it was not trained on.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.towers.backbone import FrameTower, aligned
from exporters.towers.student import Student

BATCH = 16
TEACHER_BATCH = 8
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
WARM_UP = 0.05  # share of the steps
VIEWS = 4  # of each picture: as it is, and varied
CHECKPOINT_SECONDS = 60.0
LEAST_STD = 1e-3  # of a feature; one that never moves teaches nothing


@dataclass(frozen=True, slots=True)
class Views:
    """Pictures as teacher and student see them.

    ``frames``: uint8 [V, H, W, 3] at the student's size; ``target``: float16 [V, T, E], the teacher's features on its own grid.
    """

    frames: NDArray[np.uint8]
    target: NDArray[np.float16]


def teach(teacher: FrameTower, frames: NDArray[np.uint8], cache: Path) -> NDArray[np.float16]:
    """The teacher's features of frames uint8 [V, H, W, 3] of its own size, from the cache where they are there: [V, T, E]."""
    cache.mkdir(parents=True, exist_ok=True)
    rows: list[NDArray[np.float16]] = []
    with torch.inference_mode():
        for start in range(0, len(frames), TEACHER_BATCH):
            part = np.ascontiguousarray(frames[start : start + TEACHER_BATCH])
            file = cache / f"{hashlib.sha256(part.tobytes()).hexdigest()[:32]}.npy"
            if file.is_file():
                rows.append(np.load(file))
                continue
            _, *layers = teacher(torch.from_numpy(part))
            found = torch.cat(layers, dim=-1).half().numpy()
            np.save(file.with_suffix(".part.npy"), found)
            file.with_suffix(".part.npy").replace(file)
            rows.append(found)
    return np.concatenate(rows)


def learn(
    student: Student,
    mean: Sequence[float],
    std: Sequence[float],
    views: Views,
    *,
    steps: int,
    seed: int,
    state: Path,
    log: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Train the student in place, trunk and predictor.

    Args:
        student: starts from pretrained weights.
        mean: of its pixels, per channel.
        std: likewise.
        views: what it learns from.
        steps: of `BATCH` views each.
        seed: of the order.
        state: file that a stopped run is taken up from; it must be of the same views, seed and steps.
        log: takes a line of progress now and then.
        clock: seconds, for how often the state is saved.

    Raises:
        ExportError: the state is of another run, or the loss is no number.
    """
    tower = FrameTower(student, mean, std, (student.layers,), depth=student.layers)
    centre, spread = _moments(views.target)
    with torch.no_grad():  # the start is the mean, in the teacher's own units
        student.predictor.last.bias.copy_(centre)  # type: ignore[union-attr] # it has one
    student.train().requires_grad_(requires_grad=True)
    optimiser = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    identity = _identity(views, steps, seed)
    done = _resume(student, optimiser, state, identity)
    saved, total, counted = clock(), 0.0, 0
    for step in range(done, steps):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * _pace(step, steps)
        rows = np.random.default_rng((seed, step)).integers(0, len(views.frames), BATCH)
        predicted = _predicted(tower, views.frames[rows], views.target.shape[1])
        wanted = torch.from_numpy(views.target[rows].astype(np.float32))
        loss = nn.functional.smooth_l1_loss((predicted - centre) / spread, (wanted - centre) / spread)
        loss = loss + (1 - nn.functional.cosine_similarity(predicted - centre, wanted - centre, dim=-1)).mean()
        if not bool(torch.isfinite(loss)):
            raise ExportError(f"the student's loss is no number at step {step}; begin again with another seed.")
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        total, counted = total + float(loss.detach()), counted + 1
        if counted == max(1, steps // 20) or step + 1 == steps:
            log(f"step {step + 1} of {steps}, loss {total / counted:.4f}")
            total, counted = 0.0, 0
        if clock() - saved > CHECKPOINT_SECONDS or step + 1 == steps:
            _save(student, optimiser, state, identity, step + 1)
            saved = clock()
    student.eval().requires_grad_(requires_grad=False)


def agreement(student: Student, mean: Sequence[float], std: Sequence[float], views: Views) -> float:
    """Mean cosine of the student's features to the teacher's, both less the teacher's mean, over views that it was not trained on."""
    tower = FrameTower(student, mean, std, (student.layers,), depth=student.layers).eval()
    centre, _ = _moments(views.target)
    found = []
    with torch.inference_mode():
        for start in range(0, len(views.frames), BATCH):
            predicted = _predicted(tower, views.frames[start : start + BATCH], views.target.shape[1])
            wanted = torch.from_numpy(views.target[start : start + BATCH].astype(np.float32))
            found.append(nn.functional.cosine_similarity(predicted - centre, wanted - centre, dim=-1).mean(dim=1))
    return float(torch.cat(found).mean())


def _predicted(tower: FrameTower, frames: NDArray[np.uint8], places: int) -> Tensor:
    """The student's features [B, T, E] on the teacher's grid."""
    side = math.isqrt(places)
    _, maps = tower.see(torch.from_numpy(np.ascontiguousarray(frames)))
    predicted = maps[0]
    if predicted.shape[2] != side:
        grid = predicted.new_zeros(1, 1, side, side)
        predicted = (
            aligned([predicted, grid])[0]
            if predicted.shape[2] < side
            else nn.functional.interpolate(predicted, size=(side, side), mode="area")
        )
    return predicted.flatten(2).transpose(1, 2)


def _moments(target: NDArray[np.float16]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each of the teacher's features, over views and places: [E] each."""
    some = target[:: max(1, len(target) // 256)].astype(np.float32).reshape(-1, target.shape[2])
    return torch.from_numpy(some.mean(axis=0)), torch.from_numpy(np.maximum(some.std(axis=0), LEAST_STD))


def _pace(step: int, steps: int) -> float:
    """Share of the learning rate: up in a straight line, then down by half a cosine."""
    warm = max(1, int(steps * WARM_UP))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _identity(views: Views, steps: int, seed: int) -> str:
    digest = hashlib.sha256(json.dumps([steps, seed, views.frames.shape, views.target.shape]).encode())
    digest.update(np.ascontiguousarray(views.frames[:: max(1, len(views.frames) // 64)]).tobytes())
    return digest.hexdigest()


def _resume(student: Student, optimiser: torch.optim.Optimizer, state: Path, identity: str) -> int:
    """Steps that were done before."""
    if not state.is_file():
        return 0
    kept = torch.load(state, map_location="cpu", weights_only=True)
    if kept.get("identity") != identity:
        raise ExportError(
            f"{state} is of another run (other pictures, seed or steps); remove it, or ask for that run again."
        )
    student.load_state_dict(kept["student"])
    optimiser.load_state_dict(kept["optimiser"])
    return int(kept["done"])


def _save(student: Student, optimiser: torch.optim.Optimizer, state: Path, identity: str, done: int) -> None:
    """Whole or not at all: a run that is killed while it writes is taken up from the state before."""
    part = state.with_suffix(".part")
    torch.save(
        {"identity": identity, "done": done, "student": student.state_dict(), "optimiser": optimiser.state_dict()}, part
    )
    part.replace(state)

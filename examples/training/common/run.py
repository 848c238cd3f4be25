"""A training run that can be stopped and resumed: its state on disk, its clock, its learning rate and its loop."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

B = TypeVar("B")
LOG_EVERY_S = 30.0
_WARM_UP = 0.03
_LEAST = 0.02
_SMOOTHING = 0.95


def learning_rate(progress: float, peak: float) -> float:
    """Warm-up, then a cosine down to a small rest; ``progress`` is the share 0..1 of the time budget that is used."""
    if progress < _WARM_UP:
        return peak * (0.05 + 0.95 * progress / _WARM_UP)
    share = min(1.0, (progress - _WARM_UP) / (1 - _WARM_UP))
    return peak * (_LEAST + (1 - _LEAST) * 0.5 * (1 + math.cos(math.pi * share)))


def ahead(make: Callable[[], B], depth: int = 3) -> Iterator[B]:
    """What ``make`` gives, for ever, made by a thread that stays a few items ahead."""
    ready: queue.Queue[B] = queue.Queue(depth)

    def fill() -> None:
        while True:
            ready.put(make())

    threading.Thread(target=fill, name="batches", daemon=True).start()
    while True:
        yield ready.get()


class Run:
    """The state of a training run; a later process resumes where this one stopped.

    Args:
        work: folder of the resumable state.
        seconds: time budget, not counting the preparation.
        save_every_s: interval of saved states.
        model: what is trained.
        optimisers: what trains it.
    """

    def __init__(
        self,
        work: Path,
        seconds: float,
        save_every_s: float,
        model: nn.Module,
        optimisers: Sequence[torch.optim.Optimizer],
    ) -> None:
        self.seconds, self.save_every_s = seconds, save_every_s
        self.step, self.used_s = 0, 0.0
        self._file = work / "state.pt"
        self._trained = model
        self.optimisers = tuple(optimisers)

    @property
    def progress(self) -> float:
        """Used share 0..1 of the time budget."""
        return min(1.0, self.used_s / self.seconds)

    def save(self) -> None:
        """Write the whole state, replacing the last one only when it is complete."""
        state = {
            "model": self._trained.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "used_s": self.used_s,
        }
        part = self._file.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._file)

    def resume(self) -> bool:
        """Load the saved state; False when there is none."""
        if not self._file.exists():
            return False
        state = torch.load(self._file, weights_only=True)
        self._trained.load_state_dict(state["model"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.used_s = state["step"], state["used_s"]
        return True

    def export(self) -> None:
        """Write the checkpoint folder as the model is now."""
        raise NotImplementedError

    def train(self, batches: Iterable[B], train_step: Callable[[B], dict[str, float]]) -> None:
        """Train until the time budget is used: a progress line each half minute; state and, in the second half, checkpoint each few minutes."""
        started = last = logged = saved = time.monotonic()
        smooth: dict[str, float] = {}
        first_step = self.step
        for batch in batches:
            for name, value in train_step(batch).items():
                smooth[name] = _SMOOTHING * smooth.get(name, value) + (1 - _SMOOTHING) * value
            now = time.monotonic()
            self.step, self.used_s, last = self.step + 1, self.used_s + now - last, now
            finished = self.progress >= 1
            if finished or now - logged > LOG_EVERY_S:
                logged = now
                print(self._line(smooth, (self.step - first_step) / (now - started)), flush=True)
            if finished or now - saved > self.save_every_s:
                saved = now
                self.save()
                if self.progress > 0.5:
                    self.export()
            if finished:
                return

    def _line(self, smooth: dict[str, float], steps_per_s: float) -> str:
        losses = " ".join(f"{name} {value:.3f}" for name, value in smooth.items())
        left_min = max(0.0, self.seconds - self.used_s) / 60
        return f"step {self.step} {100 * self.progress:.0f} % {losses} | {steps_per_s:.2f} steps/s, {left_min:.0f} min left"

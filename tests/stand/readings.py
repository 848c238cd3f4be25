"""A gearbox's sensor readings and eight questions about them, for the text family."""

from __future__ import annotations

import numpy as np

from exporters.onepass.readings import Reading

READINGS = (Reading("vibration", "mm/s", 0.1), Reading("temperature", "degC", 1.0), Reading("motor current", "A", 0.05))
QUESTIONS = (
    "Is the gearbox failing?", "Is the bearing failing?", "Is the motor failing?", "Is oil missing?", "Is the part misaligned?",
    "Is there a crack?", "Is a bolt missing?", "Is the lens blocked?",
)  # fmt: skip


def values(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Readings over and beyond the range that can be written."""
    random = np.random.default_rng(3)
    return (random.random((count, 3)) * [110.0, 1100.0, 55.0] - [5.0, 50.0, 2.5]).astype(np.float32)

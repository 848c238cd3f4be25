"""The sensors of the line: a small physical model in which the same faults that the camera sees move the readings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from examples.line.faults import FAULTS


@dataclass(frozen=True, slots=True)
class Channel:
    """One reading: how it rests, moves and errs.

    ``rest``, ``noise`` (std), ``drift`` (amplitude) and ``floor`` (lowest measurable value) are in the reading's unit, ``load`` in
    that unit per unit of load, ``lag_s`` is the time constant of its response in seconds.
    """

    rest: float
    noise: float
    drift: float
    load: float
    lag_s: float
    floor: float = 0.0


CHANNELS: dict[str, Channel] = {
    "vibration_mm_s": Channel(rest=1.4, noise=0.10, drift=0.05, load=0.5, lag_s=0.4, floor=0.05),
    "temperature_c": Channel(rest=46.0, noise=0.12, drift=0.6, load=4.0, lag_s=14.0, floor=-40.0),
    "pressure_bar": Channel(rest=6.0, noise=0.02, drift=0.04, load=-0.2, lag_s=4.0),
    "motor_current_a": Channel(rest=4.2, noise=0.06, drift=0.03, load=1.6, lag_s=0.25),
}
"""Reading -> channel. Vibration is an RMS velocity; pressure is that of the lubrication circuit, which a leak empties slowly."""

_LOAD_PERIOD_S = 7.0
_DRIFT_PERIOD_S = 600.0


def load(t_s: float) -> float:
    """The machine's load around its mean, -0.15 .. 0.15: it works in cycles."""
    return 0.12 * math.sin(2 * math.pi * t_s / _LOAD_PERIOD_S) + 0.03 * math.sin(2 * math.pi * t_s / 1.7)


def settled(reading: str, active: Mapping[str, float]) -> float:
    """Where a reading settles at mean load under the active faults (fault id -> severity 0..1). Raises KeyError for unknown names."""
    shift = sum(FAULTS[fault].signature.get(reading, 0.0) * severity for fault, severity in active.items())
    return CHANNELS[reading].rest + shift


class SensorModel:
    """The state of all channels over time; seeded, so the same steps give the same readings."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._phase = {name: float(self._rng.uniform(0, 2 * math.pi)) for name in CHANNELS}
        self._state = {name: channel.rest for name, channel in CHANNELS.items()}

    def step(self, t_s: float, active_faults: Mapping[str, float] | Iterable[str], dt_s: float) -> dict[str, float]:
        """Let ``dt_s`` seconds pass up to time ``t_s`` and read every channel.

        ``active_faults`` are ids, or ids with a severity 0..1 (1 when only ids). Raises ValueError unless ``dt_s`` is positive,
        KeyError for an unknown fault.
        """
        if not dt_s > 0:
            raise ValueError(f"dt_s must be positive, got {dt_s}")
        active = dict(active_faults) if isinstance(active_faults, Mapping) else dict.fromkeys(active_faults, 1.0)
        noise = self._rng.standard_normal(len(CHANNELS))
        readings: dict[str, float] = {}
        for (name, channel), deviation in zip(CHANNELS.items(), noise, strict=True):
            target = settled(name, active) + channel.load * load(t_s)
            self._state[name] += (target - self._state[name]) * (1 - math.exp(-dt_s / channel.lag_s))
            drift = channel.drift * math.sin(2 * math.pi * t_s / _DRIFT_PERIOD_S + self._phase[name])
            readings[name] = max(channel.floor, self._state[name] + drift + channel.noise * float(deviation))
        return readings

"""What this machine can keep: the demo's latency budget and frame rate, from a frame's measured cost, so that it works on slow machines too."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from edge.assembly import load_engine
from edge.bundle import Bundle
from edge.errors import BundleError
from edge.inference.preprocess import CALIBRATION, Preprocessor
from edge.inference.proof import prove

BESIDE_MS = 8.0  # what a frame costs beside picture to scores: hops between threads, flags, a broker in Python
COMFORT = 1.5  # the budget over a frame's cost: other processes want the processor too
SLOW_COMFORT = 3.0  # on a machine that is slow or busy, its cost says less about the next minute
BUSY_SHARE = 0.6  # most of the time that frames may take


@dataclass(frozen=True, slots=True)
class Pace:
    """Budget of a frame, ms, and frames a second; `note` says what was changed and why, or is empty."""

    budget_ms: float
    fps: float
    note: str = ""


def frame_cost_ms(bundle: Bundle) -> float:
    """Median time from picture to scores on this machine now, ms.

    Raises:
        BundleError: the bundle cannot run here.
    """
    manifest = bundle.manifest
    preprocessor = Preprocessor(manifest.frame_input, CALIBRATION)
    return prove(load_engine(bundle), bundle, preprocessor, math.inf, time.monotonic_ns).frame_p50_ms


def pace_of(bundle: Bundle, fps: float) -> Pace:
    """What was asked for, or what this machine keeps; a bundle that cannot run is left to the daemon, which says why."""
    budget_ms = bundle.manifest.target.budget_ms
    try:
        return fitted(frame_cost_ms(bundle), budget_ms, fps)
    except BundleError:
        return Pace(budget_ms, fps)


def fitted(cost_ms: float, budget_ms: float, fps: float) -> Pace:
    """The wanted budget and rate where they fit the cost; else a wider budget in steps of 10 ms, and fewer frames. Pure."""
    if COMFORT * cost_ms + BESIDE_MS <= budget_ms:
        return Pace(budget_ms, fps)
    wider_ms = max(budget_ms, 10.0 * math.ceil((SLOW_COMFORT * cost_ms + BESIDE_MS) / 10.0))
    slower = min(fps, max(1.0, math.floor(1000.0 * BUSY_SHARE / cost_ms)))
    note = (
        f"this machine takes {cost_ms:.0f} ms a frame, too long for {budget_ms:g} ms beside everything else: "
        f"the demo allows {wider_ms:g} ms, at {slower:g} frames a second"
    )
    return Pace(wider_ms, slower, note)

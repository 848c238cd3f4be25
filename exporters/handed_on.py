"""Records that one stage hands to the next: first the compiled float side, then the chosen and measured graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge.manifest import Candidate, Execution, Latency
from exporters.model import Model, Scale

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Compiled:
    """The float side: the checkpoint's evidence on every image, and the module to export."""

    head: nn.Module | None
    reference: NDArray[np.float32]  # evidence [N, K]
    unseen: NDArray[np.float32]  # the same by weights that never saw the picture, where there are folds
    scale: Scale
    module: nn.Module
    model: Model
    out_of_fold: NDArray[np.int64]  # rows whose unnamed evidence in `unseen` is by weights that the graph does not hold
    notes: tuple[str, ...]  # of the fit, for the report


@dataclass(frozen=True, slots=True)
class Verified:
    """The measured side: the chosen graph, its scores [N, K] on every image, its proof.

    ``others_cores`` is what others took of the machine while the graph was timed, if that was enough to matter, else 0.
    ``unseen`` are the scores that calibrate: those of a head in folds come from the member that never saw the image.
    """

    graph: Path
    execution: Execution
    scores: NDArray[np.float32]
    unseen: NDArray[np.float32]
    candidates: tuple[Candidate, ...]
    latency: tuple[Latency, ...]
    peak_rss_mib: float
    noise: NDArray[np.float32]
    others_cores: float = 0.0
    notes: tuple[str, ...] = ()  # for the report: what was not measured, and why

"""Scores are the calibrated sigmoid of evidence, the same in numpy and in the graph."""

from __future__ import annotations

import numpy as np
import torch

from exporters.graph.specialise import plain_scale, specialise
from exporters.model import Scale


def test_graph_and_arithmetic_agree() -> None:
    """The module's scores are Scale.scores of its evidence, finite even for absurd evidence."""

    class Evidence(torch.nn.Module):
        def forward(self, frame: torch.Tensor) -> torch.Tensor:
            return frame.to(torch.float32).mean(dim=(1, 2)) - 100.0

    scale = Scale(np.array([0.1, -0.2, 3.0], np.float32), np.array([0.5, 0.0, -1.0], np.float32))
    frame = torch.randint(0, 256, (2, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = specialise(Evidence(), scale)(frame).numpy()
        evidence = Evidence()(frame).numpy()
    assert np.abs(found - scale.scores(evidence)).max() < 1e-6
    assert np.isfinite(scale.scores(np.array([[1e9, -1e9, 0.0]], np.float32))).all()


def test_plain_scale_is_even_odds_at_one_half() -> None:
    """Without images, equal fit of fault and normal words is score 0.5."""
    assert plain_scale(2).scores(np.zeros((1, 2), np.float32)).tolist() == [[0.5, 0.5]]

"""The second stage: projections of the answers and of phrases into one space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from examples.training.lite0.batches import Batch
from examples.training.siglip.losses import known_pairs
from exporters.towers.words import Projections, Sizes

WEIGHTS = {"text": 1.0, "contrast": 2.0}
TEXT_NOISE = 0.3  # length of what is added to a phrase's unit vector: phrases near a known one mean the same
SCALE_MOST = 4.0  # logarithm
DROPPED = 0.5  # share of the pooled vector that a step does not see


class Trainee(nn.Module):
    """Projections, and the bias of the loss."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.projections = Projections(sizes)
        self.bias = nn.Parameter(torch.tensor(-4.0))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Every loss by name, unweighted scalars."""
        pooled = nn.functional.dropout(batch.pooled, DROPPED, self.training)
        pictures = self.projections.image.joined(pooled, batch.answers)
        noise = TEXT_NOISE * normalize(torch.randn_like(batch.texts), dim=-1)
        texts = normalize(self.projections.text(normalize(batch.texts + noise, dim=-1)), dim=-1)
        cosines = self.projections.scale.clamp(max=SCALE_MOST).exp() * pictures @ texts.T
        return {
            "text": known_pairs(cosines + self.bias, batch.labels),
            "contrast": known_pairs(cosines[:, batch.bad] - cosines[:, batch.good], batch.shown),
        }

    def level_answers(self, answers: Sequence[Tensor]) -> None:
        """Take the spread of the answers [n, Q] of each group as their unit."""
        image, whole = self.projections.image, torch.cat(tuple(answers), dim=1)
        image.usual.copy_(whole.mean(dim=0))
        image.spread.copy_(whole.std(dim=0) + 1e-3)

    def second_stage(self) -> list[nn.Parameter]:
        """What is trained here: everything but the groups, whose answers are kept."""
        groups = {id(parameter) for parameter in self.projections.image.groups.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in groups]


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum of the losses."""
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()

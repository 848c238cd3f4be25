"""A student: an EfficientNet trunk, cut where its grid is a sixteenth of the frame, with two small layers for a teacher's patch features.

It is a tower like any other: its layers are the trunk's, and one more on top with the predicted features (`exporters.towers.learning`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.towers.backbone import Backbone, aligned
from exporters.towers.efficientnet import EfficientNet

PREFIX = "student."  # of its own tensors, beside timm's names
HIDDEN = 384  # channels between its two layers


@dataclass(frozen=True, slots=True)
class Shape:
    """The section tower.student of config.json."""

    reads: tuple[int, ...]  # layers of the trunk; the deepest is where the trunk ends
    widths: tuple[int, ...]  # of the teacher's layers, side by side

    @classmethod
    def read(cls, section: Mapping[str, Any]) -> Shape:
        """From tower.student. Raises ExportError."""
        try:
            return cls(tuple(int(one) for one in section["reads"]), tuple(int(one) for one in section["widths"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(f"tower.student of config.json is incomplete ({error}); distil it again.") from error


class Predictor(nn.Module):
    """Maps of the trunk [B, C, h, w] -> the teacher's features as one map [B, E, h, w] on the coarsest of their grids."""

    def __init__(self, reads: Sequence[int], widths: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(sum(reads), HIDDEN, 1)
        self.near = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1, groups=HIDDEN)
        self.last = nn.Conv2d(HIDDEN, widths, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """See the class."""
        rows = min(int(part.shape[2]) for part in maps)
        laid = [
            nn.functional.avg_pool2d(part, part.shape[2] // rows) if part.shape[2] > rows else part for part in maps
        ]
        state = nn.functional.relu6(self.first(torch.cat(aligned(laid), dim=1)))
        found: Tensor = self.last(state + nn.functional.relu6(self.near(state)))
        return found


class Student(Backbone):
    """Trunk and predictor. Its last layer gives the teacher's features; a cut pooled vector is their mean."""

    def __init__(self, trunk: EfficientNet, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.depth = max(shape.reads)
        self.trunk = trunk
        trunk_widths = trunk.widths()
        self.predictor = Predictor([trunk_widths[layer] for layer in shape.reads], sum(shape.widths))

    @property
    def layers(self) -> int:
        """The trunk's, and one more."""
        return self.depth + 1

    def widths(self) -> tuple[int, ...]:
        """See the base class."""
        return (*self.trunk.widths()[: self.depth + 1], sum(self.shape.widths))

    def states(self, pixels: Tensor, deepest: int) -> list[Tensor]:
        """See the base class."""
        return self.predicted(self.trunk.states(pixels, min(deepest, self.depth)), deepest)

    def predicted(self, states: list[Tensor], deepest: int) -> list[Tensor]:
        """The trunk's states, and the predicted features where they are read."""
        if deepest <= self.depth:
            return states
        return [*states, self.predictor([states[layer] for layer in self.shape.reads])]

    def pooled(self, last: Tensor) -> Tensor:
        """See the base class."""
        return last.mean(dim=(2, 3))

"""ConvNeXt and ConvNeXt V2 of the public layout: four stages of convolutional blocks, layers counted through all of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from exporters.towers.backbone import Backbone


class ConvNext(Backbone):
    """Layer 0 is the patch embedding (stride 4); a stage's first block also halves the grid.

    Args:
        model: transformers' ConvNextModel or ConvNextV2Model.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        self.embed: nn.Module = model.embeddings
        steps: list[nn.Module] = []
        widths = [int(model.config.hidden_sizes[0])]
        for stage, width in zip(model.encoder.stages, model.config.hidden_sizes, strict=True):
            first, *rest = stage.layers
            steps += [nn.Sequential(*stage.downsampling_layer, first), *rest]
            widths += [int(width)] * len(stage.layers)
        self.steps = nn.ModuleList(steps)
        self.norm: nn.Module = model.layernorm
        self._widths = tuple(widths)

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.steps)

    def widths(self) -> tuple[int, ...]:
        """See the base class."""
        return self._widths

    def states(self, pixels: Tensor, deepest: int) -> list[Tensor]:
        """See the base class."""
        states = [self.embed(pixels)]
        for step in self.steps[:deepest]:
            states.append(step(states[-1]))
        return states

    def pooled(self, last: Tensor) -> Tensor:
        """See the base class."""
        found: Tensor = self.norm(last.mean(dim=(2, 3)))
        return found

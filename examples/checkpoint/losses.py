"""The losses of the training: picture against text over known pairs, and the helper heads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from examples.checkpoint.batches import Batch
from examples.checkpoint.model import Seen, Trainee
from examples.checkpoint.samples import FINE, GRID

WEIGHTS = {"text": 2.0, "concept": 0.5, "patch": 1.0, "cell": 0.6}
_PATCH_POSITIVE_WEIGHT = 6.0


def known_pairs(logits: Tensor, labels: Tensor) -> Tensor:
    """Sigmoid loss over pairs whose label int8 is 0 or 1; true and false pairs weigh the same in sum. Zero when nothing is known."""
    losses = binary_cross_entropy_with_logits(logits, labels.clamp(min=0).float(), reduction="none")
    parts = [losses[labels == value].mean() for value in (0, 1) if bool((labels == value).any())]
    return torch.stack(parts).mean() if parts else logits.sum() * 0


def _patch_maps(batch: Batch, kept: Tensor | None) -> tuple[Tensor, Tensor]:
    """Targets for the kept patches: concepts float (n, k, concepts) and cells float (n, k, cells)."""
    count = batch.pixels.shape[0]
    concepts = batch.patches.flatten(2).transpose(1, 2)
    side = FINE // GRID
    cells = (
        batch.cells.view(count, GRID, side, GRID, side).permute(0, 1, 3, 2, 4).reshape(count, GRID * GRID, side * side)
    )
    if kept is not None:
        concepts = concepts.gather(1, kept[..., None].expand(-1, -1, concepts.shape[-1]))
        cells = cells.gather(1, kept[..., None].expand(-1, -1, cells.shape[-1]))
    return concepts.float(), cells.float()


def losses(model: Trainee, batch: Batch, kept: Tensor | None) -> dict[str, Tensor]:
    """Every loss by name, unweighted scalars."""
    seen: Seen = model.see(batch.pixels, kept)
    found = {
        "text": known_pairs(model.logits(seen.pooled, model.read(batch.tokens)), batch.labels),
        "concept": known_pairs(seen.concepts, batch.concepts),
    }
    if not bool(batch.marked.any()):
        return found
    concepts, cells = _patch_maps(batch, kept)
    settled = ((batch.concepts >= 0) & batch.marked[:, None])[:, None, :].expand_as(concepts)
    weight = torch.tensor(_PATCH_POSITIVE_WEIGHT)
    found["patch"] = binary_cross_entropy_with_logits(
        seen.patch_concepts[settled], concepts[settled], pos_weight=weight
    )
    found["cell"] = binary_cross_entropy_with_logits(
        seen.patch_cells[batch.marked], cells[batch.marked], pos_weight=weight
    )
    return found


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum of the losses."""
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()

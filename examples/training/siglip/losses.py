"""The losses of the training: picture against text over known pairs, and the helper heads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from examples.training.common.samples import FINE, GRID
from examples.training.common.words import CONCEPTS
from examples.training.siglip.batches import Batch
from examples.training.siglip.model import Seen, Trainee

WEIGHTS = {"text": 2.0, "concept": 0.5, "patch": 1.0, "cell": 0.6, "place": 1.0, "look": 0.2}
_PATCH_POSITIVE_WEIGHT = 6.0
_PLACES = 16
_SMALL_SHARE = 0.35
"""Faults over more of a picture than this are no place to look at."""


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
    texts = model.read(batch.tokens)
    found = {
        "text": known_pairs(model.logits(seen.pooled, texts), batch.labels),
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
    named = batch.named >= 0
    faulty = concepts.amax(2) * batch.marked[:, None]
    labels = place_labels(batch, concepts, batch.named[named])
    found["place"] = _place_loss(model, seen.patches, texts[named], labels, faulty)
    found["look"] = look_loss(seen.attention, faulty)
    return found


def place_labels(batch: Batch, concepts: Tensor, named: Tensor) -> Tensor:
    """Whether each patch shows what a text names, int8 (n, k, texts): 1, 0 or -1 unknown. A patch without any fault is normal."""
    known = ((batch.concepts >= 0) & batch.marked[:, None])[:, None, :].expand_as(concepts)
    labels = torch.where(known, concepts, -1.0)
    normal = torch.where(batch.marked[:, None], 1 - concepts.amax(2), -1.0)
    labels[:, :, CONCEPTS.index("normal")] = normal
    return labels[:, :, named].to(torch.int8)


def _place_loss(model: Trainee, patches: Tensor, texts: Tensor, labels: Tensor, faulty: Tensor) -> Tensor:
    """The picture-against-text loss for single patches, faulty ones first, so that words are tied to places."""
    lot = torch.rand(faulty.shape) + 0.7 * faulty
    chosen = lot.topk(min(_PLACES, lot.shape[1]), dim=1).indices
    seen = model.alone(patches.gather(1, chosen[..., None].expand(-1, -1, patches.shape[-1])).flatten(0, 1))
    wanted = labels.gather(1, chosen[..., None].expand(-1, -1, labels.shape[-1])).flatten(0, 1)
    return known_pairs(model.logits(seen, texts), wanted)


def look_loss(attention: Tensor, faulty: Tensor) -> Tensor:
    """Minus the logarithm of the attention that small faults get, over pictures that show one."""
    small = (faulty.sum(1) > 0) & (faulty.mean(1) < _SMALL_SHARE)
    if not bool(small.any()):
        return attention.sum() * 0
    share = (attention * faulty).sum(1)[small]
    return -(share + 1e-4).log().mean()


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum of the losses."""
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()

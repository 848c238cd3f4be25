"""First stage: what each place shows, learnt from masks at some places of every picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from examples.training.common.facts import states
from examples.training.common.run import learning_rate
from examples.training.common.samples import Row, Store
from examples.training.common.words import CONCEPTS
from examples.training.lite0.features import Features
from exporters.towers.words import Group, ImageSide, coordinates

AT_ONCE = 96  # pictures
CHOSEN = (40, 20)  # places of each picture, per group; those under a mask first
_POSITIVE_WEIGHT = 4.0


@dataclass(frozen=True, slots=True)
class Marked:
    """Pictures of a batch at some places: levelled pooled [n, D], laid [n, t, C], where [n, t, 5], and labels [n, t, K], -1 unknown."""

    pooled: Tensor
    laid: Tensor
    at: Tensor
    labels: Tensor


def fit(
    image: ImageSide,
    store: Store,
    features: Features,
    rows: Sequence[Row],
    concepts: Sequence[str],
    *,
    epochs: int,
    rate: float,
    seed: int,
    log: Callable[[str], None],
) -> None:
    """Fit the groups of an image side to masks.

    Args:
        image: its groups are changed; query k of each learns concept k.
        store: of the samples, with their masks.
        features: of the samples.
        rows: the samples to learn from; those without masks have no places and are skipped.
        concepts: what the queries tell.
        epochs: passes over the rows.
        rate: peak learning rate.
        seed: of order and places.
        log: takes a line of progress.
    """
    rng = np.random.default_rng(seed)
    marked = [row for row in rows if row.marked]
    parameters = [parameter for group in image.groups for parameter in group.parameters()]
    optimiser = torch.optim.AdamW(parameters, rate, weight_decay=0.02)
    steps = max(1, epochs * len(marked) // AT_ONCE)
    for step in range(steps):
        if step * AT_ONCE % max(1, len(marked)) < AT_ONCE:
            order = rng.permutation(len(marked))
        chosen = [marked[order[(step * AT_ONCE + place) % len(marked)]] for place in range(min(AT_ONCE, len(marked)))]
        for entry in optimiser.param_groups:
            entry["lr"] = learning_rate(step / steps, rate)
        losses = []
        for number, group in enumerate(image.groups):
            seen = look(store, features, chosen, concepts, group=number, rng=rng)
            losses.append(_loss(group, image.level(seen.pooled), seen))  # type: ignore[arg-type] # modules of a list are untyped
        loss = torch.stack(losses).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        optimiser.step()
        if step % max(1, steps // 10) == 0 or step + 1 == steps:
            log(f"places: step {step + 1} of {steps}, loss {' '.join(f'{part.item():.3f}' for part in losses)}")


def look(
    store: Store,
    features: Features,
    rows: Sequence[Row],
    concepts: Sequence[str],
    *,
    group: int,
    rng: np.random.Generator,
) -> Marked:
    """Some places of pictures, with what is known of them."""
    maps = features.maps(rows, group)
    labels = place_labels(store, features, rows, concepts, (int(maps.shape[2]), int(maps.shape[3])))
    lot = torch.from_numpy(rng.random(labels.shape[:2]).astype(np.float32)) + 0.6 * (labels > 0).any(dim=2)
    at = lot.topk(min(CHOSEN[group], labels.shape[1]), dim=1).indices[..., None]
    laid, where = maps.flatten(2).transpose(1, 2), coordinates(int(maps.shape[2]), int(maps.shape[3]))
    return Marked(
        features.pooled(rows),
        laid.gather(1, at.expand(-1, -1, laid.shape[2])),
        where[at[..., 0]],
        labels.gather(1, at.expand(-1, -1, labels.shape[2])),
    )


def place_labels(
    store: Store, features: Features, rows: Sequence[Row], concepts: Sequence[str], grid: tuple[int, int]
) -> Tensor:
    """What each place of a grid shows [n, T, K]: 1 under a mask, 0 clear of it, -1 at its rim or where it is unknown. ``normal`` is no fault at all."""
    coarse = store.coarse(rows)
    for index, row in enumerate(rows):
        if features.mirrored(row):
            coarse[index] = coarse[index, :, :, ::-1]
    share = interpolate(torch.from_numpy(coarse).float(), size=grid, mode="bilinear", align_corners=False)
    share = share.flatten(2).transpose(1, 2)
    normal = CONCEPTS.index("normal")
    share[:, :, normal] = 1 - share.amax(dim=2)
    known = torch.from_numpy(np.stack([states(concepts, row.facts) for row in rows]) >= 0)
    own = share[:, :, [CONCEPTS.index(concept) for concept in concepts]]
    labels = torch.where(own > 0.5, 1, torch.where(own < 0.05, 0, -1))
    return torch.where(known[:, None], labels, -1)


def answers(image: ImageSide, features: Features, rows: Sequence[Row]) -> tuple[Tensor, list[Tensor]]:
    """Levelled pooled [n, D] and the answers of each group [n, A] for many pictures."""
    pooled, found = [], list[list[Tensor]]()
    with torch.inference_mode():
        for start in range(0, len(rows), AT_ONCE):
            own = rows[start : start + AT_ONCE]
            level = image.level(features.pooled(own))
            pooled.append(level)
            found.append([group(level, [features.maps(own, number)]) for number, group in enumerate(image.groups)])
    return torch.cat(pooled), [torch.cat(column) for column in zip(*found, strict=True)]


def _loss(group: Group, level: Tensor, seen: Marked) -> Tensor:
    judged = group.queries(group.places(level, seen.laid, seen.at))
    known = seen.labels >= 0
    return binary_cross_entropy_with_logits(
        judged[known], seen.labels[known].float(), pos_weight=torch.tensor(_POSITIVE_WEIGHT)
    )

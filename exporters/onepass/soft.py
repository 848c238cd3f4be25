"""One-token questions: for each fault one embedding is fitted that asks as the words do, or better; everything else stays frozen.

The prefix (image and instruction) does not depend on the question, so it is run once for each picture and its keys and values are kept; a step of
the fit then decodes one token a fault. Pure but for the model: arrays in, embeddings out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.families.base import Question
from exporters.onepass.graph import OnePass, Recording

if TYPE_CHECKING:
    from exporters.onepass.generative import GenerativeModel

MEMORY_BYTES = 2 * 2**30  # most that the kept prefixes may take; more pictures are thinned
STEPS = 400
BATCH = 48
LOOK_EVERY = 20  # steps between looks at the held pictures
RATE = 0.1  # of the embeddings' own size, a step


@dataclass
class Remembered:
    """Stands in for a cache: every picture of a batch goes on from its own prefix. Keys and values [pictures, heads, P, width] by layer."""

    pairs: dict[int, tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, recordings: Sequence[Recording]) -> Remembered:
        """Put the prefixes of several pictures together."""
        layers = recordings[0].pairs
        return cls({layer: _stacked([one.pairs[layer] for one in recordings]) for layer in layers})

    def take(self, rows: Tensor) -> Remembered:
        """Those of some pictures."""
        return Remembered({layer: (keys[rows], values[rows]) for layer, (keys, values) in self.pairs.items()})

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The prefix before the questions."""
        past_keys, past_values = self.pairs[layer]
        return torch.cat([past_keys, keys], dim=2), torch.cat([past_values, values], dim=2)

    @property
    def bytes(self) -> int:
        """Memory of all of it."""
        return sum(keys.nbytes + values.nbytes for keys, values in self.pairs.values())


class SideBySide(nn.Module):
    """One-token questions [K, D] behind remembered prefixes -> margins yes - no, [pictures, K]; no question sees another."""

    def __init__(self, graph: OnePass, questions: int) -> None:
        super().__init__()
        self.graph, self.questions = graph, questions
        alone = torch.full((questions, questions), torch.finfo(torch.float32).min).fill_diagonal_(0.0)
        self.masks = {
            kind: torch.cat([self._buffer(f"branch_mask_{kind}")[0, 0, :1, :-1].expand(questions, -1), alone], dim=1)[
                None, None
            ]
            for kind in set(graph.kinds)
        }

    def forward(self, soft: Tensor, prefixes: Remembered) -> Tensor:
        """See the class."""
        pictures = len(prefixes.pairs[0][0])
        hidden = soft.expand(pictures, -1, -1)
        for layer, kind in zip(self.graph.layers, self.graph.kinds, strict=True):
            hidden = layer(
                hidden,
                past_key_values=prefixes,
                attention_mask=self.masks[kind],
                position_embeddings=tuple(self._same(f"branch_{name}_{kind}") for name in ("cos", "sin")),
                position_ids=self._same("branch_positions"),
            )
        yes, no = self._buffer("answers")
        return cast("Tensor", self.graph.norm(hidden) @ (yes - no))

    def _same(self, name: str) -> Tensor:
        """Every question stands at the place right behind the prefix."""
        first = self._buffer(name)[:, :1]
        return first.expand(1, self.questions, *first.shape[2:])

    def _buffer(self, name: str) -> Tensor:
        return cast("Tensor", getattr(self.graph, name))


def start_tokens(model: GenerativeModel, questions: Sequence[Question]) -> Tensor:
    """Where the fit starts, [K, D]: the mean embedding of each fault's words as they are asked."""
    prompts = model.family.compile(model.checkpoint, questions)
    parts = model.family.parts(model.model, model.family.pixels(model.checkpoint))
    inputs = model.family.inputs(model.checkpoint, prompts, parts)
    row = {token: index for index, token in enumerate(inputs.vocabulary)}
    means, suffixes = [], iter(inputs.layout.suffixes)
    for question in questions:
        tokens = [token for _ in question.words for token in next(suffixes)]
        means.append(inputs.rows[[row[token] for token in tokens]].mean(0))
    return torch.stack(means).detach()


def remember(graph: OnePass, frames: NDArray[np.uint8]) -> tuple[Remembered, NDArray[np.int64]]:
    """The prefixes of pictures uint8 [N, H, W, 3], and which of them were taken: fewer, spread evenly, where all would not fit in memory."""
    with torch.inference_mode(mode=False), torch.no_grad():
        first = graph.remember(torch.from_numpy(frames[:1]))
        most = max(8, MEMORY_BYTES // max(1, Remembered.of([first]).bytes))
        taken = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), most)).astype(np.int64))
        return Remembered.of([graph.remember(torch.from_numpy(frames[index][None])) for index in taken]), taken


def fit(
    model: GenerativeModel,
    start: Tensor,
    frames: NDArray[np.uint8],
    targets: NDArray[np.float32],
    held: NDArray[np.bool_],
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> Tensor:
    """Fit the questions; returns [K, D].

    Args:
        model: the loaded checkpoint; not changed.
        start: [K, D] where to start.
        frames: pictures uint8 [N, H, W, 3] of the graph's size.
        targets: [N, K] 1 where the fault shows, 0 where it does not, or what the worded question says in between.
        held: [N] pictures that only choose, for each question by itself, the step to keep. None held: the last step is kept.
        steps: steps of the fit.
        seed: of the draw of pictures.

    Raises:
        ExportError: the family has recurrent layers, which keep no prefix that many questions could go on from at once.
    """
    graph = model.family.assemble(
        model.checkpoint, model.model, model.family.bare(model.checkpoint), "prefix", soft=start
    )
    assert isinstance(graph, OnePass)  # noqa: S101 - tells the type checker
    if "linear" in graph.kinds:
        raise ExportError(
            f"{model.family.name} has recurrent layers: one-token questions cannot be fitted; ask in words."
        )
    prefixes, taken = remember(graph, frames)
    wanted, kept = torch.from_numpy(targets[taken]), torch.from_numpy(held[taken])
    weight = _balance(wanted)
    ask = SideBySide(graph, len(start))
    size = float(start.pow(2).mean().sqrt())
    soft = start.clone().requires_grad_()
    best, least = start.clone(), torch.full((len(start),), math.inf)
    optimiser = torch.optim.Adam([soft], lr=RATE * size)
    generator = torch.Generator().manual_seed(seed)
    pool, looked = torch.nonzero(~kept)[:, 0], torch.nonzero(kept)[:, 0]
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * size * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = pool[torch.randint(len(pool), (min(BATCH, len(pool)),), generator=generator)]
        optimiser.zero_grad()
        _loss(ask(soft, prefixes.take(rows)), wanted[rows], weight[rows]).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        optimiser.step()
        if len(looked) and (step + 1) % LOOK_EVERY == 0:
            with torch.no_grad():
                found = _loss(ask(soft, prefixes.take(looked)), wanted[looked], weight[looked])
                better = found < least
                best[better], least[better] = soft.detach()[better], found[better]
    return best if len(looked) else soft.detach().clone()


def _balance(wanted: Tensor) -> Tensor:
    """Weights [N, K] under which a fault's yes and no count the same."""
    share = wanted.mean(0).clamp(0.02, 0.98)
    return wanted * (0.5 / share) + (1 - wanted) * (0.5 / (1 - share))


def _loss(margins: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """[K] weighted cross entropy of the margins."""
    each = nn.functional.binary_cross_entropy_with_logits(margins, wanted, weight=weight, reduction="none")
    return each.mean(0)


def _stacked(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([keys for keys, _ in pairs]), torch.cat([values for _, values in pairs])

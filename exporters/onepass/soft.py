"""Fits one embedding per fault that asks as its words do, or better; everything else stays frozen.

The prefix (image and instruction) does not depend on the question, so it is run once for each picture and its keys and values are kept; a step of
the fit then decodes one token a fault. Pure but for the model: arrays in, embeddings out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.model import Examples, Question
from exporters.onepass.assembly import assemble, make_inputs
from exporters.onepass.generative import Loaded
from exporters.onepass.module import OnePass, Recording

MEMORY_BYTES = 2 * 2**30  # most that the kept prefixes may take; more pictures are thinned
STEPS = 1200
BATCH = 48
EVALUATE_EVERY = 40  # steps between evaluations on the held pictures
RATE = 0.1  # of the embeddings' own size, a step
STARTS = 4  # fitted side by side; the best is kept, for each question by itself
LEAST_SPREAD = 0.25  # variance of log odds; a question with the same answer for every picture is no guide
RIDGE = 0.5


@dataclass
class Remembered:
    """Used as a cache: every picture of a batch goes on from its own prefix. Keys and values [pictures, heads, P, width] by layer."""

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
        """Every question has the position directly after the prefix."""
        first = self._buffer(name)[:, :1]
        return first.expand(1, self.questions, *first.shape[2:])

    def _buffer(self, name: str) -> Tensor:
        return cast("Tensor", getattr(self.graph, name))


def start_tokens(model: Loaded, questions: Sequence[Question]) -> Tensor:
    """Where the fit starts, [K, D]: the mean embedding of each fault's words as they are asked."""
    prompts = model.family.compile(model.checkpoint, questions)
    parts = model.family.parts(model.model, model.family.pixels(model.checkpoint))
    inputs = make_inputs(model.family, model.checkpoint, prompts, parts)
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


def fit(model: Loaded, start: Tensor, examples: Examples, *, steps: int = STEPS, seed: int = 0) -> Tensor:
    """Fit the questions; returns [K, D].

    Args:
        model: the loaded checkpoint; not changed.
        start: [K, D] where to start.
        examples: pictures and what they show.
        steps: steps of the fit.
        seed: of the draw of pictures.

    Raises:
        ExportError: the family has recurrent layers, which keep no prefix that many questions could go on from at once.
    """
    bare = model.family.bare(model.checkpoint)
    graph = assemble(model.family, model.checkpoint, model.model, bare, "prefix", soft=start)
    if "linear" in graph.kinds:
        raise ExportError(
            f"{model.family.name} has recurrent layers: one-token questions cannot be fitted; ask in words."
        )
    prefixes, taken = remember(graph, examples.frames)
    wanted, kept = torch.from_numpy(examples.targets[taken]).repeat(1, STARTS), torch.from_numpy(examples.held[taken])
    guide = None if examples.guide is None else torch.from_numpy(examples.guide[taken]).repeat(1, STARTS)
    weight = _balance(wanted)
    ask = SideBySide(graph, STARTS * len(start))
    size = float(cast("Tensor", graph.rows).pow(2).mean().sqrt())
    generator = torch.Generator().manual_seed(seed)
    soft = _starts(start, size, generator).requires_grad_()
    best, least = soft.detach().clone(), torch.full((len(soft),), math.inf)
    optimiser = torch.optim.Adam([soft])
    pool, evaluated = torch.nonzero(~kept)[:, 0], torch.nonzero(kept if bool(kept.any()) else ~kept)[:, 0]

    def losses(rows: Tensor) -> Tensor:
        margins = ask(soft, prefixes.take(rows))
        return _loss(margins, wanted[rows], weight[rows], None if guide is None else guide[rows])

    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * size * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad()
        losses(pool[torch.randint(len(pool), (min(BATCH, len(pool)),), generator=generator)]).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        optimiser.step()
        if (step + 1) % EVALUATE_EVERY == 0 or step + 1 == steps:
            with torch.no_grad():
                found = losses(evaluated)
                better = found < least
                best[better], least[better] = soft.detach()[better], found[better]
    winner = least.view(STARTS, -1).argmin(0)
    return best.view(STARTS, len(start), -1)[winner, torch.arange(len(start))]


def _starts(start: Tensor, size: float, generator: torch.Generator) -> Tensor:
    """The words' mean at the size that embeddings have, and random ones about it, [STARTS * K, D]: a single start often leads nowhere."""
    first = start * (size / start.pow(2).mean(1, keepdim=True).sqrt().clamp(min=1e-6))
    noise = torch.randn((STARTS - 1, *start.shape), generator=generator) * size
    return torch.cat([first[None], start + noise]).flatten(0, 1)


def _balance(wanted: Tensor) -> Tensor:
    """Weights [N, K] under which a fault's yes and no count the same."""
    share = wanted.mean(0).clamp(0.02, 0.98)
    return wanted * (0.5 / share) + (1 - wanted) * (0.5 / (1 - share))


def _loss(margins: Tensor, wanted: Tensor, weight: Tensor, guide: Tensor | None) -> Tensor:
    """[K] weighted cross entropy of the margins, and their distance from what the worded questions answer, where that is given."""
    each = nn.functional.binary_cross_entropy_with_logits(margins, wanted, weight=weight, reduction="none")
    if guide is None:
        return each.mean(0)
    spread = guide.var(0).clamp(min=LEAST_SPREAD)
    return each.mean(0) + ((margins - guide).pow(2) / spread).mean(0)


def log_odds(worded: NDArray[np.float32], labels: NDArray[np.float32], *, rounds: int = 25) -> NDArray[np.float32]:
    """A worded question's margins [N] made log odds of its fault by a line fitted to labels [N], yes and no counting the same."""
    weight = _balance(torch.from_numpy(labels[:, None]))[:, 0].numpy()
    inputs = np.stack([worded, np.ones_like(worded)], axis=1).astype(np.float64)
    line = np.zeros(2)
    for _ in range(rounds):  # Newton's method; the ridge keeps it finite where a question separates all pictures
        odds = 1.0 / (1.0 + np.exp(-(inputs @ line)))
        slope = inputs.T @ (weight * (odds - labels)) + RIDGE * line
        bend = (inputs * (weight * odds * (1.0 - odds))[:, None]).T @ inputs + RIDGE * np.eye(2)
        line -= np.linalg.solve(bend, slope)
    return (inputs @ line).astype(np.float32)


def _stacked(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    return torch.cat([keys for keys, _ in pairs]), torch.cat([values for _, values in pairs])

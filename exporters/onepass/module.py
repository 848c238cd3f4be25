"""The one-pass graph as a torch module: one uint8 frame in, yes and no logits for each question out.

Token embeddings, rotary angles, masks and the yes/no rows are buffers, so the traced graph holds no tokenizer, no vocabulary and no position
arithmetic. The decoder's own layers are called one by one, with the masks and angles that `layout` worked out.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.onepass import layout as lay
from exporters.onepass.form import Decoder, Form, Rows
from exporters.onepass.prompts import Prompts

# Added to the score of what must not be seen: its weight is e^-60 = 1e-26 of an equal score's, nothing beside float32's 1e-7. A larger number
# would mean the same and make weights of denormal size, which the processor handles by trap: a masked softmax takes 2.5 times as long.
# A trained model's scores may differ by more than that; then `Generative.hidden` selects HIDDEN, which no score outweighs.
UNSEEN = -60.0
HIDDEN = -1e4


@dataclass(frozen=True)
class Inputs:
    """The positions of the tokens, as numbers: the questions' layout with the embeddings that its tokens need.

    Attributes:
        layout: prefix and suffixes, as tokens.
        vocabulary: the distinct tokens that occur, ascending; row r of `rows` belongs to vocabulary[r].
        rows: [U, D] their embeddings.
        source: for each prefix position the index of its image token, or -1 for a text token.
        positions: [axes, P] position ids of the prefix; a branch goes on from the largest.
        blocks: positions of the prefix whose tokens see each other in both directions.
        answers: [2, D] rows of the vocabulary head: yes, no.
    """

    layout: lay.Layout
    vocabulary: tuple[int, ...]
    rows: Tensor
    source: NDArray[np.int64]
    positions: NDArray[np.int64]
    blocks: tuple[tuple[int, int], ...]
    answers: Tensor

    @classmethod
    def of(
        cls,
        prompts: Prompts,
        layout: lay.Layout,
        *,
        embed: nn.Module,
        head: Tensor,
        rows: Rows | None = None,
        source: NDArray[np.int64],
        positions: NDArray[np.int64],
        blocks: tuple[tuple[int, int], ...] = (),
    ) -> Inputs:
        """Look up the embeddings and head rows that the prompts need in `embed` and `head` [V, D], or let `rows` read them."""
        vocabulary = tuple(sorted({token for sequence in prompts.sequences for token in sequence}))
        with torch.no_grad():
            if rows is None:
                embedded, answers = embed(torch.tensor(vocabulary)), head[[prompts.yes, prompts.no]]
            else:
                # Whatever the family's embedding does beside looking up (Gemma scales) is done by itself, on a table of the few rows.
                compact = copy.copy(embed)
                compact._parameters = {"weight": nn.Parameter(rows(embed.weight, vocabulary), requires_grad=False)}  # noqa: SLF001 - a shallow copy's own dict
                embedded, answers = compact(torch.arange(len(vocabulary))), rows(head, (prompts.yes, prompts.no))
        return cls(layout, vocabulary, embedded, source, positions, blocks, answers)

    def softened(self, soft: Tensor) -> Inputs:
        """The same prefix with one branch of one token for each row of `soft` [K, D], an embedding that no word has."""
        kept = [index for index, token in enumerate(self.vocabulary) if token in set(self.layout.prefix)]
        tokens = tuple(self.vocabulary[index] for index in kept)
        numbers = tuple(range(max(tokens) + 1, max(tokens) + 1 + len(soft)))
        return replace(
            self,
            layout=lay.Layout(self.layout.prefix, tuple((number,) for number in numbers)),
            vocabulary=tokens + numbers,
            rows=torch.cat([self.rows[kept], soft.detach().to(self.rows.dtype)]),
        )


@dataclass
class Recording:
    """Used as a cache during the prefix pass: keeps each layer's keys, values and recurrent states."""

    pairs: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    columns: dict[int, Tensor] = field(default_factory=dict)
    states: dict[int, Tensor] = field(default_factory=dict)

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Keep [1, heads, P, width] keys and values; attention goes on with them."""
        self.pairs[layer] = (keys, values)
        return keys, values

    def behind(self, columns: Tensor, layer: int, reach: int) -> Tensor:
        """[1, C, reach + P]: zeros before the prefix; keep the last columns, on which a suffix's first convolutions look back."""
        padded = nn.functional.pad(columns, (reach, 0))
        self.columns[layer] = padded[:, :, -reach:]
        return padded

    def state(self, layer: int) -> Tensor | None:  # noqa: ARG002 - the other's form
        """Nothing comes before the prefix."""
        return None

    def keep_state(self, layer: int, state: Tensor) -> None:
        """Keep the state [1, heads, key width, value width] after the prefix."""
        self.states[layer] = state


@dataclass
class Shared:
    """Used as a cache during the suffix pass: every question goes on from the same recorded prefix."""

    recorded: Recording
    questions: int

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """[K, heads, P + S, width]: the prefix, repeated for every question, before the suffix's own."""
        past_keys, past_values = self.recorded.pairs[layer]
        repeat = (self.questions, -1, -1, -1)
        return torch.cat([past_keys.expand(repeat), keys], dim=2), torch.cat(
            [past_values.expand(repeat), values], dim=2
        )

    def behind(self, columns: Tensor, layer: int, reach: int) -> Tensor:  # noqa: ARG002 - the other's form
        """[K, C, reach + S]: the prefix's last columns before the suffix's."""
        return torch.cat([self.recorded.columns[layer].expand(self.questions, -1, -1), columns], dim=2)

    def state(self, layer: int) -> Tensor:
        """[1, heads, key width, value width] the state after the prefix; it broadcasts over the questions."""
        return self.recorded.states[layer]

    def keep_state(self, layer: int, state: Tensor) -> None:
        """The state after the last token is not read."""


class Pixels(nn.Module):
    """uint8 [1, height, width, 3] -> what the tower makes of (x / 255 - mean) / std."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], tower: nn.Module) -> None:
        super().__init__()
        shape = (1, 3, 1, 1)
        self.tower = tower
        self.register_buffer("gain", torch.tensor([1 / (255 * s) for s in std]).reshape(shape))
        self.register_buffer("offset", torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).reshape(shape))

    def forward(self, frame: Tensor) -> list[Tensor]:
        """Image tokens, then deepstack features, each [n, D]."""
        pixels = frame.permute(0, 3, 1, 2).to(torch.float32) * cast("Tensor", self.gain) + cast("Tensor", self.offset)
        return cast("list[Tensor]", self.tower(pixels))


class OnePass(nn.Module):
    """The whole graph. Built once for a set of questions; `form` is how they share the prefix.

    Args:
        front: turns the graph's input into image tokens: a list of [n, D]; the first are the tokens themselves, further ones are added behind the
            first decoder layers (deepstack).
        decoder: the language half.
        inputs: the positions of the tokens.
        form: "tree" or "prefix".
        unseen: added to the score of what must not be seen.
    """

    def __init__(
        self, *, front: nn.Module, decoder: Decoder, inputs: Inputs, form: Form, unseen: float = UNSEEN
    ) -> None:
        super().__init__()
        self.unseen = unseen
        self.front = front
        self.layers = nn.ModuleList(decoder.layers)
        self.norm = decoder.norm
        self.kinds = decoder.kinds
        self.form = form
        self.questions = len(inputs.layout.suffixes)
        self.prefix = len(inputs.layout.prefix)
        self._constant("rows", inputs.rows)
        self._constant("answers", inputs.answers)
        row = {token: index for index, token in enumerate(inputs.vocabulary)}
        text = np.asarray([row[token] for token in inputs.layout.prefix], dtype=np.int64)
        # The image tokens follow the text rows in one table, so that any mixture of the two is one Gather.
        order = np.where(inputs.source >= 0, len(inputs.vocabulary) + inputs.source, text)
        first = int(inputs.positions.max(initial=-1)) + 1
        if form == "tree":
            self._build_tree(inputs, decoder, row, order, first)
        else:
            self._build_prefix(inputs, decoder, row, order, first)

    def forward(self, frame: Tensor) -> Tensor:
        """Logits [Q, 2] of every question: yes, no.

        Args:
            frame: what `front` takes; for a camera uint8 [1, height, width, 3].
        """
        images: list[Tensor] = self.front(frame)
        table = torch.cat([self._get("rows"), images[0]], dim=0)
        deep = [self._spread(image) for image in images[1:]]
        hidden = self._tree(table, deep) if self.form == "tree" else self._prefix(table, deep)
        return hidden @ self._get("answers").T

    def _build_tree(
        self, inputs: Inputs, decoder: Decoder, row: Mapping[int, int], order: NDArray[np.int64], first: int
    ) -> None:
        tree = lay.grow(inputs.layout.suffixes)
        nodes = np.asarray([row[token] for token in tree.tokens], dtype=np.int64)
        onward = np.broadcast_to(first + np.asarray(tree.depths), (inputs.positions.shape[0], len(nodes)))
        self._constant("order", torch.from_numpy(np.concatenate([order, nodes])))
        self._constant("ends", torch.from_numpy(self.prefix + np.asarray(tree.ends)))
        self._place("packed", decoder, np.concatenate([inputs.positions, onward], axis=1))
        windows = self._windows(decoder)
        masks = {kind: lay.tree_mask(self.prefix, tree, window=w, blocks=inputs.blocks) for kind, w in windows.items()}
        self._mask("packed", masks)
        self._spreading(inputs, len(nodes))

    def _build_prefix(
        self, inputs: Inputs, decoder: Decoder, row: Mapping[int, int], order: NDArray[np.int64], first: int
    ) -> None:
        tokens, ends = lay.pad(inputs.layout.suffixes)
        length = tokens.shape[1]
        onward = np.broadcast_to(first + np.arange(length), (inputs.positions.shape[0], length))
        self._constant("order", torch.from_numpy(order))
        self._constant("branches", torch.from_numpy(np.vectorize(row.__getitem__, otypes=[np.int64])(tokens)))
        self._constant("ends", torch.from_numpy(np.arange(len(ends)) * length + ends))
        self._place("packed", decoder, inputs.positions)
        self._place("branch", decoder, onward)
        windows = self._windows(decoder)
        alone = lay.grow(())
        self._mask(
            "packed", {k: lay.tree_mask(self.prefix, alone, window=w, blocks=inputs.blocks) for k, w in windows.items()}
        )
        self._mask("branch", {k: lay.suffix_mask(self.prefix, length, window=w) for k, w in windows.items()})
        self._spreading(inputs, 0)

    def remember(self, frame: Tensor) -> Recording:
        """What the prefix leaves behind for its branches to go on from."""
        images: list[Tensor] = self.front(frame)
        return self._recorded(torch.cat([self._get("rows"), images[0]], dim=0), [self._spread(i) for i in images[1:]])

    def _tree(self, table: Tensor, deep: list[Tensor]) -> Tensor:
        embeds = table.index_select(0, self._get("order")).unsqueeze(0)
        hidden = self._decode(embeds, "packed", None, deep)
        return hidden[0].index_select(0, self._get("ends"))

    def _prefix(self, table: Tensor, deep: list[Tensor]) -> Tensor:
        recorded = self._recorded(table, deep)
        branches = self._get("rows")[self._get("branches")]
        hidden = self._decode(branches, "branch", Shared(recorded, self.questions), [])
        return hidden.flatten(0, 1).index_select(0, self._get("ends"))

    def _recorded(self, table: Tensor, deep: list[Tensor]) -> Recording:
        recorded = Recording()
        self._decode(table.index_select(0, self._get("order")).unsqueeze(0), "packed", recorded, deep)
        return recorded

    def _decode(self, hidden: Tensor, stage: str, state: Recording | Shared | None, deep: list[Tensor]) -> Tensor:
        for index, (layer, kind) in enumerate(zip(self.layers, self.kinds, strict=True)):
            hidden = layer(
                hidden,
                past_key_values=state,
                **({} if kind == "linear" else self._surroundings(stage, kind)),
            )
            if index < len(deep):
                hidden = hidden + deep[index]
        return cast("Tensor", self.norm(hidden))

    def _surroundings(self, stage: str, kind: str) -> dict[str, object]:
        return {
            "attention_mask": self._get(f"{stage}_mask_{kind}"),
            "position_embeddings": (self._get(f"{stage}_cos_{kind}"), self._get(f"{stage}_sin_{kind}")),
            "position_ids": self._get(f"{stage}_positions"),
        }

    def _windows(self, decoder: Decoder) -> dict[str, int | None]:
        return {kind: decoder.window if kind == "sliding" else None for kind in set(decoder.kinds) if kind != "linear"}

    def _place(self, stage: str, decoder: Decoder, positions: NDArray[np.int64]) -> None:
        placed = torch.from_numpy(positions.copy())
        self._constant(f"{stage}_positions", placed[:1])
        for kind, (cosine, sine) in decoder.rope(placed.unsqueeze(1)).items():
            self._constant(f"{stage}_cos_{kind}", cosine)
            self._constant(f"{stage}_sin_{kind}", sine)

    def _mask(self, stage: str, masks: Mapping[str, lay.Mask]) -> None:
        for kind, mask in masks.items():
            hidden = torch.zeros(mask.shape).masked_fill(~torch.from_numpy(mask), self.unseen)
            self._constant(f"{stage}_mask_{kind}", hidden[None, None])

    def _spreading(self, inputs: Inputs, nodes: int) -> None:
        spread = np.concatenate([inputs.source + 1, np.zeros(nodes, dtype=np.int64)])
        self._constant("spread", torch.from_numpy(spread))

    def _spread(self, image: Tensor) -> Tensor:
        """[n, D] -> [1, N, D] with zeros where there is no image token."""
        nothing = torch.zeros((1, image.shape[1]), dtype=image.dtype)
        return torch.cat([nothing, image], dim=0).index_select(0, self._get("spread")).unsqueeze(0)

    def _constant(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.detach().clone(), persistent=True)

    def _get(self, name: str) -> Tensor:
        return cast("Tensor", getattr(self, name))


class Evidence(nn.Module):
    """uint8 frame -> evidence [1, K]: the mean margin (yes - no) over each fault's phrasings."""

    def __init__(self, one_pass: nn.Module, counts: Sequence[int]) -> None:
        super().__init__()
        self.one_pass = one_pass
        shares = torch.zeros(sum(counts), len(counts))
        start = 0
        for fault, count in enumerate(counts):
            shares[start : start + count, fault] = 1 / count
            start += count
        self.register_buffer("shares", shares)

    def forward(self, frame: Tensor) -> Tensor:
        """See the class."""
        logits = self.one_pass(frame)
        margins = (logits[:, 0] - logits[:, 1]).unsqueeze(0)
        return cast("Tensor", margins @ cast("Tensor", self.shares))

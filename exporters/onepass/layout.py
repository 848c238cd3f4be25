"""How K questions about one image are laid out in one sequence: shared prefix, branches, and attention mask.

Every question is first written out in full, as the token sequence that the checkpoint's own tokenizer makes of it. What all of them begin with
is the *prefix* (the image is in it); what is left of each is its *suffix*. The tree form packs the suffixes behind the prefix as a trie, so
that questions which begin alike share those tokens too; the prefix form keeps them as a padded batch. Pure: token numbers in, arrays out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Layout:
    """K token sequences cut into a shared beginning and K rests, each rest at least one token long."""

    prefix: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """The K sequences again, whole."""
        return tuple(self.prefix + suffix for suffix in self.suffixes)


@dataclass(frozen=True, slots=True)
class Tree:
    """The suffixes as a trie. Node n has position len(prefix) + n of the packed sequence.

    Attributes:
        tokens: token of each node.
        parents: the node before it in its question; -1: the prefix's last token.
        depths: tokens between it and the prefix, 0 for the first.
        ends: the node of each question's last token, in the order of the questions.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    ends: tuple[int, ...]


def split(sequences: Sequence[Sequence[int]]) -> Layout:
    """The longest common beginning becomes the prefix, but every question keeps at least its last token.

    Raises:
        ExportError: there is no question, or an empty one.
    """
    if not sequences or any(len(sequence) == 0 for sequence in sequences):
        raise ExportError("there is no question to compile: give every fault at least one phrasing")
    shortest = min(len(sequence) for sequence in sequences)
    shared = 0
    while shared < shortest - 1 and len({sequence[shared] for sequence in sequences}) == 1:
        shared += 1
    return Layout(tuple(sequences[0][:shared]), tuple(tuple(sequence[shared:]) for sequence in sequences))


def grow(suffixes: Sequence[Sequence[int]]) -> Tree:
    """The trie of the suffixes, its nodes in the order in which the questions first need them (parents before children)."""
    known: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    ends: list[int] = []
    for suffix in suffixes:
        node = -1
        for depth, token in enumerate(suffix):
            step = (node, token)
            if step not in known:
                known[step] = len(tokens)
                tokens.append(token)
                parents.append(node)
                depths.append(depth)
            node = known[step]
        ends.append(node)
    return Tree(tuple(tokens), tuple(parents), tuple(depths), tuple(ends))


def tree_mask(prefix: int, tree: Tree, *, window: int | None = None, blocks: Sequence[tuple[int, int]] = ()) -> Mask:
    """Which position attends to which in the packed sequence.

    Args:
        prefix: tokens before the first node.
        tree: the branches.
        window: a token sees only the `window` tokens of its own question up to itself (sliding attention); None: all of them.
        blocks: (first, past the last) positions inside the prefix whose tokens see each other in both directions (image tokens of Gemma 3).

    Returns:
        [N, N] with N = prefix + nodes; row: who looks, column: what is seen.
    """
    total = prefix + len(tree.tokens)
    mask = np.zeros((total, total), dtype=np.bool_)
    mask[:prefix, :prefix] = np.tri(prefix, dtype=np.bool_)
    for first, last in blocks:
        mask[first:last, first:last] = True
    for node, parent in enumerate(tree.parents):
        row = mask[prefix + node]
        row[:] = mask[prefix + parent] if parent >= 0 else False
        row[:prefix] = True
        row[prefix + node] = True
    return mask & _near(places(prefix, tree), places(prefix, tree), window)


def suffix_mask(prefix: int, length: int, *, window: int | None = None) -> Mask:
    """What the tokens of a suffix see of the cached prefix and of their own suffix.

    Returns:
        [length, prefix + length], the same for every question: padding follows the last real token and is never read.
    """
    rows = np.arange(prefix, prefix + length)
    columns = np.arange(prefix + length)
    return (columns[None, :] <= rows[:, None]) & _near(rows, columns, window)


def places(prefix: int, tree: Tree) -> NDArray[np.int64]:
    """[N] each packed token's place in its own question, counted from the question's beginning."""
    return np.concatenate([np.arange(prefix), prefix + np.asarray(tree.depths, dtype=np.int64)]).astype(np.int64)


def pad(suffixes: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The suffixes as a batch.

    Returns:
        [K, S] tokens, each row filled up by repeating its last token; [K] index of each last real token.
    """
    longest = max(len(suffix) for suffix in suffixes)
    rows = [list(suffix) + [suffix[-1]] * (longest - len(suffix)) for suffix in suffixes]
    return np.asarray(rows, dtype=np.int64), np.asarray([len(suffix) - 1 for suffix in suffixes], dtype=np.int64)


def runs(tokens: Sequence[int], wanted: int) -> tuple[tuple[int, int], ...]:
    """(first, past the last) of each unbroken run of the token `wanted`."""
    found: list[tuple[int, int]] = []
    for place, token in enumerate(tokens):
        if token != wanted:
            continue
        if found and found[-1][1] == place:
            found[-1] = (found[-1][0], place + 1)
        else:
            found.append((place, place + 1))
    return tuple(found)


def _near(rows: NDArray[np.int64], columns: NDArray[np.int64], window: int | None) -> Mask:
    """[rows, columns] True where a row's token comes fewer than `window` tokens after the column's."""
    distance = rows[:, None] - columns[None, :]
    if window is None:
        return np.ones_like(distance, dtype=np.bool_)
    return distance < window

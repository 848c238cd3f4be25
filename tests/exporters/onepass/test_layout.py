"""Prefix, trie, masks and padding: who shares what and who sees whom, checked against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ExportError
from exporters.onepass import layout as lay

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=7), min_size=1, max_size=6)


@given(SEQUENCES)
def test_splitting_loses_nothing(sequences: list[list[int]]) -> None:
    """Prefix plus suffix is the question again, and every suffix keeps a token."""
    layout = lay.split(sequences)
    assert layout.sequences == tuple(map(tuple, sequences))
    assert all(layout.suffixes)


@given(SEQUENCES)
def test_every_branch_reads_as_its_question(sequences: list[list[int]]) -> None:
    """Walking from a branch's end to the root gives the suffix, with depths counting up."""
    suffixes = lay.split(sequences).suffixes
    tree = lay.grow(suffixes)
    for suffix, end in zip(suffixes, tree.ends, strict=True):
        path = []
        node = end
        while node >= 0:
            path.append((tree.tokens[node], tree.depths[node]))
            node = tree.parents[node]
        assert [token for token, _ in reversed(path)] == list(suffix)
        assert [depth for _, depth in reversed(path)] == list(range(len(suffix)))


@given(SEQUENCES, st.one_of(st.none(), st.integers(1, 4)))
def test_a_branch_sees_what_its_question_alone_would(sequences: list[list[int]], window: int | None) -> None:
    """A question's last token sees exactly the tokens that it would see if it were asked alone, window included."""
    layout = lay.split(sequences)
    tree = lay.grow(layout.suffixes)
    prefix = len(layout.prefix)
    mask = lay.tree_mask(prefix, tree, window=window)
    tokens = np.asarray(layout.prefix + tree.tokens)
    for sequence, end in zip(layout.sequences, tree.ends, strict=True):
        seen = tokens[mask[prefix + end]]
        alone = sequence if window is None else sequence[-window:]
        order = np.argsort(lay.places(prefix, tree)[mask[prefix + end]], kind="stable")
        assert tuple(seen[order]) == tuple(alone)


def test_common_beginnings_are_stored_once() -> None:
    """Questions that begin alike share those nodes; equal questions share all."""
    tree = lay.grow([(1, 2, 3), (1, 2, 4), (1, 2, 3)])
    assert tree.tokens == (1, 2, 3, 4)
    assert tree.ends == (2, 3, 2)


def test_image_tokens_see_each_other_both_ways() -> None:
    """A block is two-way, also across the window's far side, and changes nothing outside."""
    tree = lay.grow([(9,)])
    mask = lay.tree_mask(4, tree, blocks=[(1, 3)])
    assert mask[1, 2]
    assert not mask[0, 1]
    assert not mask[2, 3]
    narrow = lay.tree_mask(4, tree, window=2, blocks=[(1, 3)])
    assert narrow[1, 2]
    assert not narrow[4, 2]


def test_suffix_mask_is_causal_behind_the_prefix() -> None:
    """A suffix token sees the cached prefix and what precedes it; a window forgets the beginning."""
    assert lay.suffix_mask(2, 2).tolist() == [[True, True, True, False], [True, True, True, True]]
    assert lay.suffix_mask(2, 2, window=2).tolist() == [[False, True, True, False], [False, False, True, True]]


def test_padding_repeats_the_last_token() -> None:
    """Rows are filled up with a token that is in the vocabulary, and the ends point at the last real one."""
    tokens, ends = lay.pad([(1, 2, 3), (4,)])
    assert tokens.tolist() == [[1, 2, 3], [4, 4, 4]]
    assert ends.tolist() == [2, 0]


def test_runs() -> None:
    """Unbroken runs of a token, as half-open ranges."""
    assert lay.runs((5, 1, 1, 2, 1), 1) == ((1, 3), (4, 5))


@pytest.mark.parametrize("sequences", [[], [[1], []]])
def test_nothing_to_ask_is_refused(sequences: list[list[int]]) -> None:
    """No question, or an empty one, is an error that says what to do."""
    with pytest.raises(ExportError, match="phrasing"):
        lay.split(sequences)

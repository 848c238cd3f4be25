"""Tiles take turns: the one that was not seen for longest comes first, so none starves however little fits into a frame and whatever changes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.inference.schedule import REMEMBERED_RUNS, Key, Schedule, frames_between, least_rate, oldest_ms, room

MS = 1_000_000
NAMES = st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=12, unique=True)
CHANGES = st.lists(st.dictionaries(st.sampled_from("abcdefghijkl"), st.floats(0.0, 9.0)), min_size=1, max_size=60)


def schedule(names: Iterable[str]) -> Schedule:
    """One tile for each letter."""
    return Schedule([(name, 0) for name in names])


def frame(turns: Schedule, fitting: int, changed: dict[str, float]) -> str:
    """The tiles that are computed in a frame in which some changed, and so many fit."""
    computed = turns.frame({(name, 0): change for name, change in changed.items()})[:fitting]
    for tile in computed:
        turns.begin(tile)
    return "".join(name for name, _ in computed)


def every(names: Iterable[str]) -> dict[str, float]:
    """All of them, without a word about how much they changed."""
    return dict.fromkeys(names, math.inf)


@pytest.mark.parametrize(
    ("names", "fitting", "frames"),
    [
        ("ab", 2, ["ab", "ab"]),
        ("abc", 2, ["ab", "ca", "bc", "ab"]),
        ("abcd", 1, ["a", "b", "c", "d", "a"]),
        ("a", 3, ["a", "a"]),
        ("", 1, [""]),
    ],
)
def test_tiles_that_every_frame_needs_take_turns(names: str, fitting: int, frames: list[str]) -> None:
    """The table: which are computed in which frame."""
    turns = schedule(names)
    assert [frame(turns, fitting, every(names)) for _ in frames] == frames


@pytest.mark.parametrize(
    ("fitting", "shown", "frames"),
    [
        (2, ["abcd", "abcd", ""], ["ab", "cd", ""]),  # nothing changed: nothing is computed
        (1, ["abcd", "d", "d"], ["a", "d", "d"]),  # only what changed
        (1, ["", "d9 a2 b5", "a2 b5", "a2"], ["", "d", "b", "a"]),  # what changed most comes first
        (1, ["abcd", "d5 a9", "a9"], ["a", "d", "a"]),  # and before it what was not seen for longer
        (1, ["", "c1", "c1 d9", "d9"], ["", "c", "d", "d"]),
        (2, ["", "a", "a b c", "b c d"], ["", "a", "bc", "db"]),  # a changed again, but c and d are as old as b
    ],
)
def test_what_changed_comes_first_and_the_longest_unseen_before_it(
    fitting: int, shown: list[str], frames: list[str]
) -> None:
    """The table: what changed in each frame, with how far where it matters, and what is computed of it."""
    turns = schedule("abcd")
    found = []
    for text in shown:
        parts = text.split() if any(letter.isdigit() for letter in text) else list(text.replace(" ", ""))
        found.append(frame(turns, fitting, {part[0]: float(part[1:] or 0) for part in parts}))
    assert found == frames


@given(NAMES, st.lists(st.integers(1, 12), min_size=1, max_size=60))
def test_no_tile_waits_longer_than_the_others_take(names: list[str], fitting: Sequence[int]) -> None:
    """Whatever fits, as long as one does: between two turns of a tile that every frame needs no other has two."""
    order = schedule(names)
    turns = "".join(frame(order, count, every(names)) for count in fitting)
    for begin in range(len(turns) - len(names) + 1):
        assert sorted(turns[begin : begin + len(names)]) == sorted(names)


@given(NAMES, st.integers(1, 12), CHANGES)
def test_the_bound_that_check_states_holds_whatever_changes(
    names: list[str], fitting: int, changes: Sequence[dict[str, float]]
) -> None:
    """Where so many fit into each frame, each tile is seen once in so many frames: computed, or found to be as it was."""
    turns, bound = schedule(names), frames_between(len(names), min(fitting, len(names)))
    seen = dict.fromkeys(names, 0)
    waiting = set(names)  # of which a verdict is missing: such a tile is wanted until it is computed
    for number, changed in enumerate(changes, 1):
        waiting |= changed.keys() & set(names)
        computed = frame(turns, fitting, {name: changed.get(name, 1.0) for name in waiting})
        waiting -= set(computed)
        seen |= {name: number for name in names if name not in waiting}
        assert all(number - last < bound for last in seen.values())


@given(NAMES, st.randoms(use_true_random=False), CHANGES)
def test_the_order_in_which_tiles_and_changes_are_named_does_not_matter(
    names: list[str], chance: Any, changes: Sequence[dict[str, float]]
) -> None:
    """A site file may list regions as it likes, and changes are found in any order."""
    shuffled = list(names)
    chance.shuffle(shuffled)
    one, other = schedule(names), schedule(shuffled)
    for changed in changes:
        known = {name: change for name, change in changed.items() if name in names}
        assert frame(one, 2, known) == frame(other, 2, dict(reversed(known.items())))


def test_a_tile_that_fails_has_had_its_turn() -> None:
    """It began, and that counts: the next frame begins with another."""
    turns = schedule("ab")
    wanted: dict[Key, float] = {("a", 0): 1.0, ("b", 0): 1.0}
    turns.begin(turns.frame(wanted)[0])
    assert turns.frame(wanted) == (("b", 0), ("a", 0))


def test_one_slow_run_says_nothing_of_the_next() -> None:
    """Two do; and what is long past is forgotten."""
    turns = schedule("ab")
    assert (turns.expected_ns, turns.fits(0)) == (0, True)
    turns.took(5 * MS)
    assert turns.expected_ns == 5 * MS
    turns.took(500 * MS)
    assert (turns.fits(5 * MS), turns.fits(5 * MS - 1)) == (True, False)
    turns.took(400 * MS)
    assert not turns.fits(100 * MS)
    for _ in range(REMEMBERED_RUNS):
        turns.took(6 * MS)
    assert turns.expected_ns == 6 * MS


@pytest.mark.parametrize(
    ("budget_ms", "decode_ms", "run_ms", "tiles", "fitting"),
    [(40, 4, 9, 8, 4), (40, 4, 9, 3, 3), (40, 39, 9, 8, 1), (40, 50, 9, 8, 1), (40, 4, 0, 8, 8)],
)
def test_check_says_how_many_fit(budget_ms: float, decode_ms: float, run_ms: float, tiles: int, fitting: int) -> None:
    """One is computed in any case."""
    assert room(budget_ms, decode_ms, run_ms, tiles) == fitting


def test_check_says_how_old_a_tile_becomes_and_how_fast_the_camera_must_be() -> None:
    """32 tiles of which 6 fit: each is seen in every 6th frame. Where the budget alone is longer, no rate helps."""
    assert oldest_ms(32, 6, interval_ms=40.0, budget_ms=100.0) == 340.0
    assert least_rate(32, 6, cover_ms=700.0, budget_ms=100.0) == pytest.approx(10.0)
    assert least_rate(32, 6, cover_ms=100.0, budget_ms=100.0) is None

"""Images of one thing stay together, and the split is stable."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import ConfigError
from exporters.pictures.grouping import difference_hashes, folds, group_names, split
from exporters.pictures.images import synthetic_frames
from exporters.recipe import Grouping

FRAMES = synthetic_frames(6, 40, 48, 0)


def test_runs_of_frame_numbers_are_groups() -> None:
    """Numbers at most the gap apart chain into one group."""
    names = [f"exp1_num_{number}.jpg" for number in (100, 5000, 590, 1080, 5400, 90000)]
    found = group_names(names, FRAMES, Grouping(number_pattern=r"_num_(\d+)", run_gap=500))
    assert len({found[0], found[2], found[3]}) == 1
    assert found[1] == found[4]
    assert len(set(found)) == 3


def test_near_duplicates_merge_groups_only_within_the_window() -> None:
    """The same picture at a near number is the same thing; far away it is left alone."""
    frames = FRAMES.copy()
    frames[3], frames[5] = frames[0], frames[0]
    names = [f"num_{number}" for number in (0, 1000, 2000, 3000, 4000, 99000)]
    rule = Grouping(number_pattern=r"num_(\d+)", run_gap=10, duplicate_bits=14, duplicate_window=6000)
    found = group_names(names, frames, rule)
    assert found[0] == found[3]
    assert found[5] != found[0]


def test_a_pattern_names_the_group_and_must_match() -> None:
    """A file that the pattern does not fit is an error, not a group of its own."""
    rule = Grouping(pattern=r"tile(\d+)")
    assert len(set(group_names(["tile1a", "tile1b", "tile2a"], FRAMES[:3], rule))) == 2
    with pytest.raises(ConfigError, match="does not match"):
        group_names(["other"], FRAMES[:1], rule)


def test_brighter_light_keeps_the_hash() -> None:
    """Exposure must not make one tile look like two."""
    darker = (FRAMES * 0.6).astype(np.uint8)
    bits = (difference_hashes(FRAMES) != difference_hashes(darker)).sum(axis=1)
    assert bits.max() <= 14
    assert (difference_hashes(FRAMES)[0] != difference_hashes(FRAMES)[1]).sum() > 14


def test_split_keeps_groups_whole_and_classes_even() -> None:
    """No group straddles parts, every class appears in every part, and the shares are near what was asked."""
    groups = [f"g{index // 4}" for index in range(400)]
    classes = [["rare"] if index // 4 % 10 == 0 else ["normal"] for index in range(400)]
    parts = split(groups, classes, {"fit": 0.5, "calibrate": 0.2, "test": 0.3})
    by_group: dict[str, set[str]] = {}
    for group, part in zip(groups, parts, strict=True):
        by_group.setdefault(group, set()).add(part)
    assert all(len(found) == 1 for found in by_group.values())
    for label in ("rare", "normal"):
        mine = [part for part, kinds in zip(parts, classes, strict=True) if label in kinds]
        assert {"fit", "calibrate", "test"} == set(mine)
        assert abs(mine.count("test") / len(mine) - 0.3) < 0.11
    assert parts == split(groups, classes, {"fit": 0.5, "calibrate": 0.2, "test": 0.3})


def test_folds_keep_groups_whole_and_show_every_class_in_each() -> None:
    """Five folds of like size; the rare class is in all of them."""
    groups = [f"g{index // 4}" for index in range(400)]
    classes = [["rare"] if index // 4 % 10 == 0 else ["normal"] for index in range(400)]
    found = folds(groups, classes, 5)
    assert len(set(zip(groups, found, strict=True))) == 100
    for label in ("rare", "normal"):
        mine = [fold for fold, kinds in zip(found, classes, strict=True) if label in kinds]
        assert set(mine) == set(range(5))
        assert max(mine.count(fold) for fold in range(5)) < 0.26 * len(mine)


def test_a_number_pattern_must_find_a_number() -> None:
    """What it finds is said, and what to write instead."""
    with pytest.raises(ConfigError, match=r"'part' in 'part1\.jpg', which is no number"):
        group_names(["part1.jpg"], FRAMES[:1], Grouping(number_pattern="(part)"))

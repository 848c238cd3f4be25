"""Finds which images belong together, and splits them so that every group stays whole; pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError
from exporters.recipe import Grouping

Part = Literal["fit", "calibrate", "test"]
Share = TypeVar("Share", bound=str)
HASH_SIDE = 16  # a difference hash of 16 x 16 = 256 bits


def group_names(names: Sequence[str], frames: NDArray[np.uint8], rule: Grouping) -> list[str]:
    """The group of each image: by a pattern on its name, by runs of its frame number, and merged over near duplicates.

    Args:
        names: N file paths.
        frames: uint8 [N, H, W, 3], for near duplicates.
        rule: the recipe's grouping.

    Raises:
        ConfigError: a pattern does not match a name, or finds no number where it should.
    """
    numbers: NDArray[np.int64] | None = None
    if rule.number_pattern is not None:
        numbers = np.array([_number(rule.number_pattern, name) for name in names], dtype=np.int64)
        parents = _runs(numbers, rule.run_gap)
    elif rule.pattern is not None:
        keys = [_found(rule.pattern, name) for name in names]
        first = {key: index for index, key in reversed(list(enumerate(keys)))}
        parents = [first[key] for key in keys]
    else:
        parents = list(range(len(names)))
    if rule.duplicate_bits:
        _merge_duplicates(parents, difference_hashes(frames), numbers, rule)
    return [names[_root(parents, index)] for index in range(len(names))]


def split(groups: Sequence[str], classes: Sequence[Sequence[str]], shares: Mapping[Share, float]) -> list[Share]:
    """The part of each image; no group straddles two, and each class is shared out as evenly as whole groups allow.

    Classes are served rarest first; a class's groups, ordered by the hash of their name (so the split is stable and blind to
    content), go one by one to the part that lacks most of its share.

    Args:
        groups: N group names.
        classes: N collections of class names (an image may show several faults).
        shares: target share of each part; they sum to 1. What has no class goes to the first.
    """
    members: dict[str, list[str]] = {}  # class -> group of each of its images
    for group, labels in zip(groups, classes, strict=True):
        for label in labels:
            members.setdefault(label, []).append(group)
    placed: dict[str, Share] = {}
    for label in sorted(members, key=lambda name: (len(members[name]), name)):
        sizes = {group: members[label].count(group) for group in set(members[label])}
        lacking = {part: share * len(members[label]) for part, share in shares.items() if share > 0}
        for group, size in sizes.items():
            if group in placed:
                lacking[placed[group]] = lacking.get(placed[group], 0.0) - size
        for group in sorted(sizes.keys() - placed.keys(), key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
            part = max(lacking, key=lambda name: lacking[name])
            placed[group] = part
            lacking[part] -= sizes[group]
    first = next(iter(shares))
    return [placed.get(group, first) for group in groups]


def folds(groups: Sequence[str], classes: Sequence[Sequence[str]], count: int) -> list[int]:
    """The fold 0..count - 1 of each image: equal shares by the rule of `split`."""
    return [int(name) for name in split(groups, classes, {str(fold): 1 / count for fold in range(count)})]


def difference_hashes(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which neighbour is brighter on a coarse grid: frames [N, H, W, 3] -> bool [N, 256]; near duplicates differ in few bits."""
    count, height, width, _ = frames.shape
    rows = np.linspace(0, height, HASH_SIDE + 1).astype(int)[:-1]
    columns = np.linspace(0, width, HASH_SIDE + 2).astype(int)[:-1]
    found = np.empty((count, HASH_SIDE * HASH_SIDE), dtype=np.bool_)
    for index, frame in enumerate(frames):
        grey = frame.astype(np.float32).mean(axis=2)
        cells = np.add.reduceat(np.add.reduceat(grey, rows, axis=0), columns, axis=1)
        area = np.diff([*rows, height])[:, None] * np.diff([*columns, width])[None]
        found[index] = np.diff(cells / area, axis=1).ravel() > 0
    return found


def _found(pattern: str, name: str) -> str:
    match = re.search(pattern, name)
    if match is None:
        raise ConfigError(f"images.grouping: {pattern!r} does not match {name!r}.")
    return match.group(1) if match.re.groups else match.group(0)


def _number(pattern: str, name: str) -> int:
    found = _found(pattern, name)
    try:
        return int(found)
    except ValueError as error:
        raise ConfigError(
            f"images.grouping: number_pattern {pattern!r} finds {found!r} in {name!r}, which is no number: give it a group like (\\d+), or use pattern."
        ) from error


def _runs(numbers: NDArray[np.int64], gap: int) -> list[int]:
    """Parent of each image when consecutive numbers at most ``gap`` apart are one run."""
    order = np.argsort(numbers, kind="stable")
    parents = list(range(len(numbers)))
    for before, after in pairwise(order):
        if numbers[after] - numbers[before] <= gap:
            parents[after] = parents[before]
    return parents


def _merge_duplicates(
    parents: list[int], hashes: NDArray[np.bool_], numbers: NDArray[np.int64] | None, rule: Grouping
) -> None:
    for index in range(len(parents) - 1):
        others = np.arange(index + 1, len(parents))
        if numbers is not None:
            others = np.flatnonzero(np.abs(numbers - numbers[index]) <= rule.duplicate_window)
        near = others[(hashes[others] != hashes[index]).sum(axis=1) <= rule.duplicate_bits]
        for other in near:
            left, right = _root(parents, index), _root(parents, int(other))
            parents[max(left, right)] = min(left, right)


def _root(parents: list[int], index: int) -> int:
    while parents[index] != index:
        index = parents[index]
    return index

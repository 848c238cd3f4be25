"""Renders and reads all samples once into shard files, with several processes, so that training waits for nothing."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType

import cv2

from examples.training.common import generated, real
from examples.training.common.samples import IMAGE_SIZE, Store, write_shard

SHARD_SIZE = 500
COUNTS = {"line": 10000, "zoom": 6000, "ground": 6000}
VALIDATION_COUNTS = {"line": 500, "zoom": 250, "ground": 250}
VALIDATION_SEED = 10_000_000


def _generate(folder: Path, *, kind: str, count: int, seed: int, split: str, edge: int) -> int:
    cv2.setNumThreads(1)
    return write_shard(folder, generated.generated(kind, count, seed, split, edge))


def _read(folder: Path, name: str, root: Path, edge: int) -> int:
    cv2.setNumThreads(1)
    return write_shard(folder, real.SETS[name](root, edge))


def _run(job: tuple[Path, Callable[[Path], int]]) -> str:
    """Make one shard under a temporary name and rename it when whole; a shard that is there already is kept."""
    folder, make = job
    if (folder / "meta.json").exists():
        return f"{folder.name}: kept"
    partial = folder.with_name("." + folder.name)
    shutil.rmtree(partial, ignore_errors=True)
    started = time.perf_counter()
    count = make(partial)
    partial.rename(folder)
    return f"{folder.name}: {count} samples in {time.perf_counter() - started:.0f} s"


def jobs(
    work: Path,
    root: Path,
    seed: int,
    scale: float,
    *,
    counts: Mapping[str, int] = COUNTS,
    edges: Mapping[str, int] = MappingProxyType({}),
) -> list[tuple[Path, Callable[[Path], int]]]:
    """What is to be made, in an order that gives an early start a mixture of all kinds.

    ``counts`` is how many of each generated kind, ``edges`` the edge in px of a kind's or set's pictures where that is not IMAGE_SIZE.
    """
    found: list[tuple[Path, Callable[[Path], int]]] = []
    for kind, count in VALIDATION_COUNTS.items():
        job = functools.partial(
            _generate,
            kind=kind,
            count=max(8, int(count * scale)),
            seed=VALIDATION_SEED + seed,
            split="validation",
            edge=edges.get(kind, IMAGE_SIZE),
        )
        found.append((work / f"validation-{kind}", job))
    if root.is_dir():
        found += [
            (
                work / f"real-{name}",
                functools.partial(_read, name=name, root=root, edge=edges.get(name, IMAGE_SIZE)),
            )
            for name in real.SETS
        ]
    mixed: list[tuple[float, Path, Callable[[Path], int]]] = []
    for offset, (kind, count) in enumerate(counts.items()):
        wanted = max(16, int(count * scale))
        for start in range(0, wanted, SHARD_SIZE):
            part = functools.partial(
                _generate,
                kind=kind,
                count=min(SHARD_SIZE, wanted - start),
                seed=seed * 1_000_003 + offset * 100_000 + start,
                split="train",
                edge=edges.get(kind, IMAGE_SIZE),
            )
            mixed.append((start / wanted, work / f"{kind}-{start // SHARD_SIZE:03d}", part))
    return found + [(folder, job) for _, folder, job in sorted(mixed, key=lambda entry: (entry[0], entry[1]))]


def prepare(
    work: Path,
    *,
    seed: int = 0,
    scale: float = 1.0,
    processes: int = 2,
    log: Callable[[str], None] = print,
    counts: Mapping[str, int] = COUNTS,
    edges: Mapping[str, int] = MappingProxyType({}),
    wanted: Callable[[str], bool] = bool,
) -> Store:
    """Make every missing shard below ``work`` whose name is ``wanted`` and open them all.

    ``scale`` shrinks the generated part; real sets are skipped when absent.
    """
    work.mkdir(parents=True, exist_ok=True)
    root = real.data_root()
    if not root.is_dir():
        log(f"real sets are left out: {root} is not there; set EDGE_DATA to train on them")
    todo = [job for job in jobs(work, root, seed, scale, counts=counts, edges=edges) if wanted(job[0].name)]
    if processes <= 1:
        for job in todo:
            log(_run(job))
        return Store(work)
    with get_context("fork").Pool(processes) as pool:
        for line in pool.imap_unordered(_run, todo):
            log(line)
    return Store(work)

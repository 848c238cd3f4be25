"""The training pictures: the same kinds and real sets as `examples.training.siglip`, kept larger, because this tower looks at several resolutions."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from examples.training.common.prepare import prepare
from examples.training.common.samples import Store

EDGES = {"line": 320, "zoom": 320, "ground": 256, "screw": 256, "pan": 320}
"""Edge in px that pictures are kept at; X-SDD (128 px) and solar modules (24x40) hold no more than the usual 192."""

COUNTS = {"line": 10000, "zoom": 4500, "ground": 3000}


def more_scenes(work: Path, count: int, *, seed: int, processes: int = 1) -> Store:
    """Make ``count`` further line scenes, and nothing else, in a folder below that of the others; many show just one small fault."""
    return prepare(
        work, seed=seed, processes=processes, counts={"line": count}, edges=EDGES, wanted=lambda name: name.startswith("line-"),
        log=lambda text: print(text, flush=True),
    )  # fmt: skip


def pictures(work: Path, *, seed: int = 7, scale: float = 1.0, processes: int = 1) -> Store:
    """Make every missing shard below ``work`` and open them all. The seed is another than the SigLIP's: its tower has seen that one's scenes."""
    return prepare(
        work, seed=seed, scale=scale, processes=processes, counts=COUNTS, edges=EDGES, log=lambda text: print(text, flush=True)
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.training.smolvlm.pictures", description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--scenes", type=int, help="so many line scenes of this seed and nothing else")
    given = parser.parse_args()
    os.nice(5)
    if given.scenes:
        more_scenes(given.work, given.scenes, seed=given.seed, processes=given.processes)
    else:
        pictures(given.work, seed=given.seed, processes=given.processes)

"""The site's own images: pictures of the simulated line, sorted by what they show, for `edge-export` to calibrate on.

``python -m examples.demo.site_images build/line-images``. The parts are others than those of the demo (other seeds, held apart by
`FIRST_SEED`); the line - background, lamps, floor - is the same one, as at a real site.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2

from examples.demo.story import CHANNELS, line_settings
from examples.line.line import Line

FIRST_SEED = 10_000  # the demo's seeds are below
PICTURES_PER_PART = 3  # one while it rolls in, two at rest
NORMAL = "normal"
MASK_SUFFIX = ".png"  # of the mask beside a faulty picture, as the recipe names it
FAULTS = tuple(
    channel.vision for channel in CHANNELS if channel.vision is not None
)  # what the recipe asks for and the demo shows


def write_images(folder: Path, *, parts: int, seed: int = FIRST_SEED) -> Counter[str]:
    """Render `parts` parts into ``folder/<fault or normal>/<seed>_<part>_<picture>.jpg``, a mask beside each fault; returns how many of each."""
    fps = 2.0
    base = replace(line_settings((), seed=seed, fps=fps), faults=FAULTS, part_s=PICTURES_PER_PART / fps)
    counts: Counter[str] = Counter()
    line = Line(base, parts * PICTURES_PER_PART)
    for frame in line:
        label = next(iter(frame.active_faults), NORMAL)
        part, picture = divmod(frame.index, PICTURES_PER_PART)
        target = folder / label / f"{seed}_{part:05d}_{picture}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(frame.jpeg)
        if label != NORMAL:
            target.with_suffix(MASK_SUFFIX).write_bytes(cv2.imencode(MASK_SUFFIX, frame.mask)[1].tobytes())
        counts[label] += 1
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo.site_images", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--parts", type=int, default=1200, help="parts to photograph (default %(default)s)")
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    options = parser.parse_args(arguments)
    for label, count in sorted(write_images(options.folder, parts=options.parts, seed=options.seed).items()):
        print(f"{label:<18}{count:>6}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

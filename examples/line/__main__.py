"""Command line of the simulated line: ``sheet`` draws a labelled contact sheet of every fault on every part."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import cv2
import numpy as np

from examples.line.faults import FAULTS, MATERIALS, PARTS, possible
from examples.line.scene import render, sample_spec
from examples.line.textures import Bytes


def _labelled(image: Bytes, label: str) -> Bytes:
    strip = np.full((18, image.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, label, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([strip, image])


def _row(rng: np.random.Generator, fault: str | None, part: str | None, columns: int, size_px: int) -> Bytes:
    parts = [p for p in PARTS if fault is None or any(possible(fault, p, m) for m in MATERIALS)]
    tiles = []
    for column in range(columns):
        chosen = part or parts[column % len(parts)]
        spec = sample_spec(rng, faults=[fault] if fault else [], part=chosen)
        tiles.append(
            _labelled(render(spec, size_px, size_px).image, f"{fault or 'normal'} / {spec.part} {spec.severity:.1f}")
        )
    return np.hstack(tiles)


def sheet(seed: int, columns: int, size_px: int, only: Sequence[str] = ()) -> Bytes:
    """A contact sheet, uint8 RGB: two rows of normal scenes, then one row for each fault (or only the named ones)."""
    rng = np.random.default_rng(seed)
    kinds: list[str | None] = list(only) or [None, None, *FAULTS]
    return np.vstack([_row(rng, None if kind == "normal" else kind, None, columns, size_px) for kind in kinds])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.line", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    draw = commands.add_parser("sheet", help="write a contact sheet of the faults")
    draw.add_argument("out", help="picture to write (.png or .jpg)")
    draw.add_argument("--seed", type=int, default=1)
    draw.add_argument("--columns", type=int, default=8)
    draw.add_argument("--size", type=int, default=192, help="pixels a picture")
    draw.add_argument("--only", action="append", default=[], help="a fault, or 'normal'; may be repeated")
    chosen = parser.parse_args(arguments)
    picture = sheet(chosen.seed, chosen.columns, chosen.size, chosen.only)
    options = [cv2.IMWRITE_JPEG_QUALITY, 72] if chosen.out.endswith((".jpg", ".jpeg")) else []
    if not cv2.imwrite(chosen.out, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options):
        print(
            f"cannot write {chosen.out}: the folder must exist and the name must end in .png or .jpg", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

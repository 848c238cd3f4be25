"""Draws the worst misses of a set on one sheet, so that a person can see what was not seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks.sets.pictures import Picture

SIDE = 200  # px of a picture on the sheet
CAPTION = 34  # px below it
COLUMNS = 6


def draw(path: Path, worst: Sequence[tuple[Picture, str, float]]) -> None:
    """Write a PNG: each picture with what it shows, the channel that was asked, and how far its score is from the threshold."""
    lines = -(-len(worst) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, lines * (SIDE + CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (picture, channel, margin) in enumerate(worst):
        left, top = place % COLUMNS * SIDE, place // COLUMNS * (SIDE + CAPTION)
        with Image.open(picture.file) as opened:
            shown = opened.convert("RGB")
            shown.thumbnail((SIDE - 4, SIDE - 4))
        sheet.paste(shown, (left + 2, top + 2))
        pen.text(
            (left + 2, top + SIDE), f"{' '.join(sorted(picture.faults)) or 'normal'}\n{channel} {margin:+.2f}", "black"
        )
    sheet.save(path)

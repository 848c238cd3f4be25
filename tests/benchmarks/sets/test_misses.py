"""The sheet of the worst misses is a picture with a place for each."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.sets.misses import CAPTION, COLUMNS, SIDE, draw
from benchmarks.sets.pictures import Picture


def test_each_miss_has_a_place_on_the_sheet(tmp_path: Path) -> None:
    """Seven pictures take two rows, and the first one's colour is in the first place."""
    Image.new("RGB", (300, 300), (200, 0, 0)).save(tmp_path / "red.png")
    picture = Picture(tmp_path / "red.png", frozenset({"crack"}), "g")
    draw(tmp_path / "sheet.png", [(picture, "crack", -0.4)] * (COLUMNS + 1))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (COLUMNS * SIDE, 2 * (SIDE + CAPTION))
        assert sheet.getpixel((SIDE // 2, SIDE // 2)) == (200, 0, 0)

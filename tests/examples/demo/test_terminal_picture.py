"""Tests of the terminal's picture: escapes become looks, everything else stays text."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.demo.terminal_picture import Look, cells, changed, draw, palette


@pytest.mark.parametrize(
    ("number", "colour"), [(16, (0, 0, 0)), (231, (255, 255, 255)), (196, (255, 0, 0)), (232, (8, 8, 8))]
)
def test_the_palette_is_the_terminals(number: int, colour: tuple[int, int, int]) -> None:
    """The corners of the cube and the grey ramp are where terminals have them."""
    assert palette(number) == colour


def test_escapes_change_the_look_until_they_are_reset() -> None:
    """Ink, paper and weight arrive in one sequence and leave with a zero."""
    look = changed(Look(), "1;38;5;196;48;5;16")
    assert look == Look(ink=(255, 0, 0), paper=(0, 0, 0), bold=True)
    assert changed(look, "0") == changed(look, "") == Look()


def test_only_visible_characters_take_cells() -> None:
    """Colour and cursor escapes disappear; the look goes on to the next line."""
    row, look = cells("a\x1b[1mb\x1b[K\x1b(Bc", Look())
    assert "".join(character for character, _ in row) == "abc"
    assert [style.bold for _, style in row] == [False, True, True]
    assert look.bold


def test_it_is_drawn(tmp_path: Path) -> None:
    """A picture as wide as the longest line."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: `pip install plantflag[export]`")
    pytest.importorskip("matplotlib")
    draw("\x1b[38;5;35mok\x1b[0m\nlonger line\n", tmp_path / "short.png")
    draw("a line that is twice as long\n", tmp_path / "long.png")
    with image.open(tmp_path / "short.png") as short, image.open(tmp_path / "long.png") as long:
        assert long.width > short.width
        assert short.height > long.height

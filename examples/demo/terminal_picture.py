"""A captured terminal as a picture for the README: ``tmux capture-pane -e -p | python -m examples.demo.terminal_picture OUT.png``.

Needs Pillow and the font that comes with Matplotlib, both of the `export` extra; the demo itself does not.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from exporters.pack.drawing import open_matplotlib

_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_OTHER = re.compile(r"\x1b(\[[0-9;?]*[A-Za-ln-z]|\(B|[=>])")
_BASE = (
    (0, 0, 0),
    (205, 49, 49),
    (13, 188, 121),
    (229, 229, 16),
    (36, 114, 200),
    (188, 63, 188),
    (17, 168, 205),
    (229, 229, 229),
)
FOREGROUND, BACKGROUND = (214, 217, 222), (22, 24, 29)
SIZE_PX, MARGIN_PX = 22, 26

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """How a cell is written."""

    ink: Colour = FOREGROUND
    paper: Colour | None = None
    bold: bool = False


def palette(number: int) -> Colour:
    """A colour of the 256 that terminals know."""
    if number < 16:
        return _BASE[number % 8]
    if number < 232:
        levels = (0, 95, 135, 175, 215, 255)
        rest = number - 16
        return levels[rest // 36], levels[rest // 6 % 6], levels[rest % 6]
    grey = 8 + 10 * (number - 232)
    return grey, grey, grey


def changed(look: Look, codes: str) -> Look:
    """The look after one escape sequence."""
    numbers = [int(code or 0) for code in codes.split(";")]
    while numbers:
        code = numbers.pop(0)
        if code in (38, 48) and numbers[:1] == [5]:
            colour = palette(numbers[1])
            numbers = numbers[2:]
            look = replace(look, ink=colour) if code == 38 else replace(look, paper=colour)
        elif code == 0:
            look = Look()
        elif code in (1, 22):
            look = replace(look, bold=code == 1)
        elif code == 39:
            look = replace(look, ink=FOREGROUND)
        elif code == 49:
            look = replace(look, paper=None)
        elif 30 <= code <= 37:
            look = replace(look, ink=_BASE[code - 30])
    return look


def cells(line: str, look: Look) -> tuple[list[tuple[str, Look]], Look]:
    """The characters of a line with their looks, and the look that the next line begins with."""
    found: list[tuple[str, Look]] = []
    for index, piece in enumerate(_SGR.split(_OTHER.sub("", line))):
        if index % 2:
            look = changed(look, piece)
        else:
            found += [(character, look) for character in piece]
    return found, look


def draw(text: str, target: Path) -> None:
    """Draw captured text, escapes and all, as a PNG. Raises OSError when it cannot be written."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - of the export extra

    folder = Path(open_matplotlib().get_data_path()) / "fonts" / "ttf"
    fonts = {
        bold: ImageFont.truetype(str(folder / name), SIZE_PX)
        for bold, name in ((False, "DejaVuSansMono.ttf"), (True, "DejaVuSansMono-Bold.ttf"))
    }
    lines, look = [], Look()
    for line in text.rstrip("\n").split("\n"):
        row, look = cells(line, look)
        lines.append(row)
    width_px, height_px = round(fonts[False].getlength("█")), sum(fonts[False].getmetrics())
    columns = max(len(row) for row in lines)
    image = Image.new("RGB", (columns * width_px + 2 * MARGIN_PX, len(lines) * height_px + 2 * MARGIN_PX), BACKGROUND)
    canvas = ImageDraw.Draw(image)
    for y, row in enumerate(lines):
        for x, (character, style) in enumerate(row):
            left, top = MARGIN_PX + x * width_px, MARGIN_PX + y * height_px
            if style.paper is not None:
                canvas.rectangle((left, top, left + width_px - 1, top + height_px - 1), fill=style.paper)
            canvas.text((left, top), character, font=fonts[style.bold], fill=style.ink)
    image.quantize(64).save(target, optimize=True)


if __name__ == "__main__":
    draw(sys.stdin.read(), Path(sys.argv[1]))

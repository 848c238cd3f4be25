"""Matplotlib is opened without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
DRAW = """
import io, os
from exporters.pack.drawing import new_figure
before = dict(os.environ)
for _ in range(2):
    figure = new_figure(figsize=(2, 1), layout="constrained")
    figure.subplots().set_title("one")
    figure.savefig(picture := io.BytesIO(), format="png")
    assert picture.getvalue().startswith(b"\\x89PNG")
assert dict(os.environ) == before
"""


def test_a_drawing_leaves_home_temporary_folder_and_environment_as_they_were(tmp_path: Path) -> None:
    """Figures after the first, too: its folder for settings and fonts is gone by then."""
    hidden = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL"))}
    environment = hidden | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-W", "error", "-c", DRAW], check=True, cwd=ROOT, env=environment)
    assert list(tmp_path.iterdir()) == []

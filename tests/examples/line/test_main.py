"""The command line writes a contact sheet that opens as a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from examples.line.__main__ import main, sheet
from examples.line.faults import FAULTS


def test_a_sheet_has_a_row_for_every_fault(tmp_path: Path) -> None:
    """Two rows of good scenes and one for each fault, repeatable."""
    out = tmp_path / "sheet.jpg"
    assert main(["sheet", str(out), "--columns", "2", "--size", "64"]) == 0
    picture = cv2.imread(str(out))
    assert picture is not None
    assert picture.shape == ((2 + len(FAULTS)) * (64 + 18), 128, 3)
    assert np.array_equal(sheet(5, 2, 64, ["crack"]), sheet(5, 2, 64, ["crack"]))


def test_a_sheet_that_cannot_be_written_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the path and what must be true of it."""
    out = tmp_path / "missing" / "sheet.png"
    assert main(["sheet", str(out), "--columns", "1", "--size", "48", "--only", "normal"]) == 1
    assert "the folder must exist" in capsys.readouterr().err

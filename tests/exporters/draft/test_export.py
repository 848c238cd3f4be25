"""Labels go out to other programs and come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporters.__main__ import main
from exporters.draft.export import FORMATS, labels_text
from exporters.draft.labels import read_marks
from tests.exporters.draft.test_survey import fill

SHOWN = {"normal": ["good/a.jpg", "good/b c.jpg"], "oil leak": ["bad/c.jpg"], "crack": ["bad/c.jpg", "bad/ü?.png"]}
SIZES = {"good/a.jpg": (640, 480), "good/b c.jpg": (64, 48), "bad/c.jpg": (10, 20), "bad/ü?.png": (1, 1)}


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_is_read_back(kind: str) -> None:
    """Every picture with all of its labels, also names with spaces, marks and other letters."""
    text = labels_text(kind, SHOWN, SIZES)  # type: ignore[arg-type] # one of FORMATS
    found = read_marks("labels.json", text.encode())
    assert found.shown == {
        "good/a.jpg": frozenset({"normal"}),
        "good/b c.jpg": frozenset({"normal"}),
        "bad/c.jpg": frozenset({"oil leak", "crack"}),
        "bad/ü?.png": frozenset({"crack"}),
    }


def test_coco_has_what_its_readers_ask_for() -> None:
    """Sizes of pictures, ids that refer to each other, and a box of the whole picture for each label."""
    document = json.loads(labels_text("coco", SHOWN, SIZES))
    assert {one["file_name"]: (one["width"], one["height"]) for one in document["images"]} == SIZES
    assert [one["id"] for one in document["annotations"]] == [1, 2, 3, 4, 5]
    images = {one["id"]: one for one in document["images"]}
    for one in document["annotations"]:
        size = images[one["image_id"]]
        assert one["bbox"] == [0, 0, size["width"], size["height"]]
        assert one["area"] == size["width"] * size["height"]
    assert {one["id"] for one in document["categories"]} == {one["category_id"] for one in document["annotations"]}


def test_init_writes_them_and_takes_them_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From sub-folders to both files, and from each to the same recipe; copies are counted; no file is overwritten."""
    folder = fill(tmp_path / "site", good=4, crack=3)
    (folder / "good" / "again.jpg").write_bytes(min((folder / "good").iterdir()).read_bytes())
    coco, studio = tmp_path / "coco.json", tmp_path / "studio.json"
    out = ["--coco-out", str(coco), "--label-studio-out", str(studio)]
    assert main(["init", str(folder), "--out", str(tmp_path / "r.toml"), *out]) == 0
    assert "1 pictures are exact copies of others" in capsys.readouterr().out
    for number, labels in enumerate((coco, studio)):
        again = tmp_path / f"again{number}.toml"
        assert main(["init", str(folder), "--out", str(again), "--labels", str(labels)]) == 0
        said = capsys.readouterr().out.split()
        assert said[said.index("good") + 1] == "5"
        assert said[said.index("crack") + 1] == "3"
    assert main(["init", str(folder), "--out", str(tmp_path / "other.toml"), *out]) == 1
    assert "not overwritten" in capsys.readouterr().err

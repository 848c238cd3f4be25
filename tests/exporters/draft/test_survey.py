"""What a folder holds is found once, and what does not count is told with its reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError
from edge.inference.preprocess import encode_jpeg
from exporters.draft.survey import Survey, survey


def picture(path: Path, seed: int = -1) -> Path:
    """Write a JPEG that no other path gets, or the same for one seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = np.random.default_rng(seed if seed >= 0 else abs(hash(str(path)))).integers(0, 255, (48, 48, 3))
    path.write_bytes(encode_jpeg(made.astype(np.uint8)))
    return path


def fill(folder: Path, **counts: int) -> Path:
    """A sub-folder for each label, with so many pictures."""
    for label, count in counts.items():
        for index in range(count):
            picture(folder / label / f"{index}.jpg")
    return folder


def _names(found: Survey, label: str) -> list[str]:
    return [file.name for file in found.shown[label]]


def _said(found: Survey, *words: str) -> bool:
    return any(all(word in note for word in words) for note in found.notes)


def test_sub_folders_are_labels_however_deep(tmp_path: Path) -> None:
    """Folders of parts of a set are looked into; pictures below a label's folders are its own."""
    fill(tmp_path / "train", good=3)
    fill(tmp_path / "test", good=2, crack=2)
    picture(tmp_path / "test/crack/monday/9.jpg")
    found = survey(tmp_path, None)
    assert {label: len(files) for label, files in found.shown.items()} == {"good": 5, "crack": 3}
    assert found.roots["good"] == [tmp_path.resolve() / "test/good", tmp_path.resolve() / "train/good"]
    assert found.notes == ()


def test_what_does_not_count_is_told(tmp_path: Path) -> None:
    """Other files, hidden ones, empty folders, loose pictures, masks' and readings' folders, damaged pictures, one picture only."""
    fill(tmp_path, good=3, crack=2, dent=1, unsure=2, ground_truth=2)
    picture(tmp_path / "loose.jpg")
    (tmp_path / "good/notes.txt").write_text("x")
    (tmp_path / "good/._0.jpg").write_bytes(b"x")
    (tmp_path / "good/broken.jpg").write_bytes(b"no picture")
    (tmp_path / "empty").mkdir()
    found = survey(tmp_path, None)
    assert set(found.shown) == {"good", "crack"}
    for words in (
        ("1 .txt files",),
        ("1 hidden files",),
        ("1 empty folders",),
        ("1 pictures outside",),
        ("2 pictures in unsure",),
        ("2 pictures in ground_truth",),
        ("1 pictures would be rejected", "broken.jpg (not_an_image)"),
        ("'dent' was left out", "1 picture,"),
    ):
        assert _said(found, *words), (words, found.notes)


def test_a_linked_folder_is_a_label_but_is_not_entered_below(tmp_path: Path) -> None:
    """As a recipe's pattern sees it."""
    fill(tmp_path / "elsewhere", good=2)
    site = fill(tmp_path / "site", crack=2)
    (site / "good").symlink_to(tmp_path / "elsewhere/good")
    (site / "crack/more").symlink_to(tmp_path / "elsewhere/good")
    found = survey(site, None)
    assert {label: len(files) for label, files in found.shown.items()} == {"good": 2, "crack": 2}
    assert _said(found, "1 linked folders")


def test_a_picture_that_is_normal_and_a_fault_is_left_out(tmp_path: Path) -> None:
    """By content: a build would refuse it. Two faults in one picture are none of that."""
    fill(tmp_path, good=3, crack=3, dent=2)
    picture(tmp_path / "good/same.jpg", seed=5)
    picture(tmp_path / "crack/copy.jpg", seed=5)
    picture(tmp_path / "crack/both.jpg", seed=6)
    picture(tmp_path / "dent/both.jpg", seed=6)
    found = survey(tmp_path, None)
    assert "same.jpg" not in _names(found, "good")
    assert _names(found, "crack") == ["0.jpg", "1.jpg", "2.jpg", "both.jpg"]
    assert _said(found, "2 pictures were left out", "copy.jpg, same.jpg")


@pytest.mark.parametrize("suffix", [".png", "_mask.png"])
def test_masks_beside_pictures_are_no_pictures(tmp_path: Path, suffix: str) -> None:
    """A PNG beside a JPEG of its name, or one that ends with _mask."""
    fill(tmp_path, good=2, crack=2)
    for index in range(2):
        picture(tmp_path / f"crack/{index}{suffix}")
    found = survey(tmp_path, None)
    assert found.mask_suffix == suffix
    assert _names(found, "crack") == ["0.jpg", "1.jpg"]


def _table(folder: Path, rows: Sequence[str], name: str = "labels.csv") -> Path:
    file = folder / name
    file.write_text("\n".join(["file,label", *rows]))
    return file


def test_a_table_goes_before_sub_folders(tmp_path: Path) -> None:
    """Pictures are found by path, or by a name that only one has; the others are told."""
    fill(tmp_path, a=3, b=2)
    picture(tmp_path / "a/only.jpg")
    _table(
        tmp_path,
        [
            "a/0.jpg,ok",
            "0.jpg,crack",
            "b/1.jpg,crack",
            "elsewhere/only.jpg,crack",
            "2.jpg,ok",
            "gone.jpg,ok",
            "b/0.jpg,",
        ],
    )
    found = survey(tmp_path, None)
    assert {label: _names(found, label) for label in found.shown} == {
        "ok": ["0.jpg", "2.jpg"],
        "crack": ["only.jpg", "1.jpg"],
    }
    assert found.origin == "the table labels.csv"
    assert _said(found, "2 pictures of the table are not there, or not once: 0.jpg, gone.jpg")
    assert _said(found, "1 pictures without a mark", "--unmarked-is-normal")
    assert _said(found, "1 pictures are not in the table")


def test_unmarked_pictures_are_normal_only_if_somebody_says_so(tmp_path: Path) -> None:
    """A picture that nobody marked may be one that nobody looked at."""
    fill(tmp_path, images=4)
    document = {
        "images": [{"id": index, "file_name": f"{index}.jpg"} for index in range(4)],
        "annotations": [{"image_id": 0, "category_id": 1}, {"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "crack"}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances.json").write_text(json.dumps(document))
    assert set(survey(tmp_path, None).shown) == {"crack"}
    assert _names(survey(tmp_path, None, unmarked_is_normal=True), "normal") == ["2.jpg", "3.jpg"]


def test_a_file_that_is_no_file_of_labels_is_told_and_sub_folders_count(tmp_path: Path) -> None:
    """Readings and notes lie beside pictures."""
    fill(tmp_path, good=2, crack=2)
    (tmp_path / "readings.csv").write_text("time,value\n1,2\n")
    found = survey(tmp_path, None)
    assert found.origin == "sub-folders"
    assert _said(found, "No labels were read from readings.csv", "columns")


def test_several_files_of_labels_are_for_a_person_to_choose_from(tmp_path: Path) -> None:
    """And the option chooses."""
    fill(tmp_path, a=4)
    _table(tmp_path, ["0.jpg,ok", "1.jpg,ok"])
    second = _table(tmp_path, ["2.jpg,bad", "3.jpg,bad"], "second.csv")
    with pytest.raises(ConfigError, match="--labels"):
        survey(tmp_path, None)
    assert set(survey(tmp_path, second).shown) == {"bad"}


@pytest.mark.parametrize("kind", ["gone", "empty"])
def test_a_folder_with_nothing_to_learn_from_is_refused(tmp_path: Path, kind: str) -> None:
    """With what was passed over."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.bmp").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"is no folder|1 \.bmp files"):
        survey(tmp_path / kind, None)


def test_a_camera_whose_pictures_were_sorted_is_no_label(tmp_path: Path) -> None:
    """Its normal pictures would be those of a fault; the folder to look at is named."""
    fill(tmp_path / "cam1", normal=2, crack=2)
    fill(tmp_path, cam2=2)
    with pytest.raises(ConfigError, match=r"run init on .*/cam1"):
        survey(tmp_path, None)
    assert set(survey(tmp_path / "cam1", None).shown) == {"normal", "crack"}

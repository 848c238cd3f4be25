"""A picture is one picture, under however many names; and it shows what it shows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError, ExportError
from edge.inference.preprocess import encode_jpeg
from exporters.job import Job
from exporters.pictures.copies import NEAR_BITS, distinct, near_duplicates
from exporters.pictures.images import count_images, count_left_out, load_dataset, synthetic_frames
from exporters.recipe import Images, Recipe, find_images, passed_over
from tests.exporters.conftest import job_for

FRAMES = synthetic_frames(8, 64, 80, 5)


@pytest.fixture(scope="module")
def job(site: Path, siglip: Path) -> Job:
    """A job whose recipe the tests point at their own pictures."""
    return job_for(site, siglip.name)


def recipe_for(job: Job, folder: Path) -> Recipe:
    """Normal pictures in ``good``, one fault's in ``bad``."""
    fault = job.recipe.faults[0].model_copy(update={"images": (f"{folder}/bad",)})
    return job.recipe.model_copy(update={"images": Images(normal=(f"{folder}/good",)), "faults": (fault,)})


def pictures(folder: Path, *, good: int = 3, bad: int = 1, copies: int = 4) -> Path:
    """Different pictures, each under several names."""
    for kind, count, first in (("good", good, 0), ("bad", bad, good)):
        (folder / kind).mkdir(parents=True)
        for index in range(count):
            for copy in range(copies):
                (folder / kind / f"{index}_{copy}.jpg").write_bytes(encode_jpeg(FRAMES[first + index]))
    return folder


def test_copies_count_once_in_the_plan_and_in_the_build(job: Job, tmp_path: Path) -> None:
    """Ten pictures in ten copies are ten pictures: neither evidence nor a test of it; the rest is said."""
    recipe = recipe_for(job, pictures(tmp_path))
    assert count_images(recipe, tmp_path) == {"normal": 3, "crack": 1}
    dataset = load_dataset(recipe, tmp_path, job.input)
    assert (len(dataset.names), int(dataset.normal.sum())) == (4, 3)
    assert "12 pictures are copies of others and count once." in dataset.notes
    assert "12 pictures are copies of others and count once." in count_left_out(recipe, tmp_path)


def test_one_picture_cannot_be_normal_and_a_fault(job: Job, tmp_path: Path) -> None:
    """Neither the same bytes under another name nor the same picture with another comment in its file."""
    folder = pictures(tmp_path / "a", copies=1)
    (folder / "bad" / "same.jpg").write_bytes((folder / "good" / "0_0.jpg").read_bytes())
    with pytest.raises(ExportError, match=r"good/0_0.jpg is listed as normal.*bad/same.jpg, listed as crack"):
        count_images(recipe_for(job, folder), tmp_path)
    jpeg = (folder / "good" / "0_0.jpg").read_bytes()
    (folder / "bad" / "same.jpg").write_bytes(jpeg[:2] + b"\xff\xfe\x00\x07hello" + jpeg[2:])
    with pytest.raises(ExportError, match=r"listed as normal and shows the same picture"):
        load_dataset(recipe_for(job, folder), tmp_path, job.input)


def test_a_copy_under_two_faults_shows_both() -> None:
    """What a picture shows under any of its names it shows; whatever the order."""
    labels = np.array([[True, False], [False, False], [False, True]])
    rows, found = distinct(["x", "y", "x"], labels, ["a", "b", "c"], ["crack", "dent"])
    assert rows == [0, 1]
    assert found.tolist() == [[True, True], [False, False]]


def test_near_duplicates_of_other_groups_are_told() -> None:
    """The same picture saved smaller or brighter; within a group they are no matter."""
    darker = (FRAMES[:1] * 0.97).astype(np.uint8)
    frames = np.concatenate([FRAMES, darker])
    names = [f"g{index}" for index in range(len(frames))]
    assert near_duplicates(frames, names) == [(0, 8)]
    assert near_duplicates(frames, [*names[:8], "g0"]) == []
    assert NEAR_BITS < 10


def test_what_is_passed_over_is_counted(job: Job, tmp_path: Path) -> None:
    """Other endings and linked folders are said in plan and report, not passed over in silence; hidden files are nobody's pictures."""
    folder = pictures(tmp_path / "a", copies=1)
    for name in ("1.bmp", "2.BMP", "3.tif", "notes", ".hidden"):
        (folder / "good" / name).write_bytes(b"x")
    pictures(tmp_path / "b", copies=1)
    (folder / "good" / "more").symlink_to(tmp_path / "b")
    found = passed_over((f"{folder}/good",), tmp_path)
    assert dict(found) == {".bmp files": 2, ".tif files": 1, "no ending files": 1, "linked folders": 1}
    (note,) = count_left_out(recipe_for(job, folder), tmp_path)
    assert "2 .bmp files" in note
    assert "1 linked folders" in note
    assert load_dataset(recipe_for(job, folder), tmp_path, job.input).notes == (note,)


def test_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    """It would end the build in the middle of its work, in a table or a report."""
    odd = os.fsdecode(b"bad\xff.jpg")
    (tmp_path / odd).write_bytes(encode_jpeg(FRAMES[0]))
    with pytest.raises(ConfigError, match=r"bad\\xff.jpg.*not UTF-8; rename"):
        find_images((str(tmp_path),), tmp_path)

"""Pictures become the daemon's own tensors, with labels, masks and parts; what the daemon would reject stops the export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.errors import ExportError
from edge.inference.preprocess import Preprocessor
from exporters.pictures.images import SYNTHETIC_FRAMES, load_dataset, synthetic_frames, without_idle
from exporters.recipe import Images
from tests.exporters.conftest import FAULTY, NORMAL, job_for


def test_frames_are_the_daemons_tensors(site: Path, siglip: Path) -> None:
    """Each frame is exactly what edge.inference.preprocess makes of the file's bytes; labels and counts are the site's."""
    job = job_for(site, siglip.name)
    dataset = load_dataset(job.recipe, job.base, job.input)
    assert len(dataset.frames) == NORMAL + FAULTY
    assert int(dataset.normal.sum()) == NORMAL
    assert dataset.labels.sum(axis=0).tolist() == [FAULTY, 0]
    assert np.array_equal(dataset.frames[5:6], Preprocessor(job.input).prepare(dataset.encoded[5]))
    assert all(not Path(name).is_absolute() for name in dataset.names)


def test_no_images_give_a_synthetic_dataset_that_arms_nothing(site: Path, siglip: Path) -> None:
    """Stand-ins are never counted as normal pictures."""
    job = job_for(site, siglip.name)
    bare = job.recipe.model_copy(
        update={
            "images": Images(),
            "faults": tuple(fault.model_copy(update={"images": ()}) for fault in job.recipe.faults),
        }
    )
    dataset = load_dataset(bare, job.base, job.input)
    assert dataset.synthetic
    assert len(dataset.frames) == SYNTHETIC_FRAMES
    assert not dataset.normal.any()


def test_a_damaged_picture_is_named(site: Path, siglip: Path, tmp_path: Path) -> None:
    """The device would reject it, so the export does, by file name."""
    job = job_for(site, siglip.name)
    picture = next((site / "normal").glob("*.jpg")).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(picture[: len(picture) // 2])
    recipe = job.recipe.model_copy(update={"images": Images(normal=(str(tmp_path / "cut.jpg"),))})
    with pytest.raises(ExportError, match=r"cut\.jpg would be rejected"):
        load_dataset(recipe, job.base, job.input)


def test_masks_lie_beside_their_pictures(site: Path, siglip: Path, tmp_path: Path) -> None:
    """A mask is found by its ending and scaled like the picture; a picture without one has none."""
    job = job_for(site, siglip.name)
    for name, picture in zip("ab", sorted((site / "crack").glob("*.jpg")), strict=False):
        (tmp_path / f"{name}.jpg").write_bytes(picture.read_bytes())
    white = np.zeros((64, 80), np.uint8)
    white[:, 40:] = 255
    Image.fromarray(white).save(tmp_path / "a.png")
    fault = job.recipe.faults[0].model_copy(update={"images": (f"{tmp_path}/*.jpg",)})
    recipe = job.recipe.model_copy(update={"images": Images(mask_suffix=".png"), "faults": (fault,)})
    dataset = load_dataset(recipe, job.base, job.input)
    assert dataset.masks is not None
    assert [int(mask.mean()) for mask in dataset.masks] == [127, 0]


def test_the_limit_thins_evenly(site: Path, siglip: Path) -> None:
    """Too many pictures are thinned over the whole set, not cut off at its end."""
    job = job_for(site, siglip.name)
    few = job.recipe.model_copy(update={"images": job.recipe.images.model_copy(update={"limit": 30})})
    dataset = load_dataset(few, job.base, job.input)
    assert 20 <= len(dataset.frames) <= 30
    assert dataset.labels.any()
    assert dataset.normal.any()


def test_synthetic_frames_are_seeded_and_varied() -> None:
    """The same seed gives the same frames; frames differ."""
    first = synthetic_frames(3, 20, 30, 4)
    assert np.array_equal(first, synthetic_frames(3, 20, 30, 4))
    assert not np.array_equal(first[0], first[1])


def test_what_cannot_calibrate_is_fitted_on() -> None:
    """A calibrating group without a normal picture would serve nothing; one with a normal picture stays whole, and the test part is left alone."""
    labels = np.array([[True], [True], [False], [True], [True]])
    groups = ["a", "b", "b", "c", "d"]
    parts = without_idle(["calibrate", "calibrate", "calibrate", "test", "fit"], groups, labels)
    assert parts == ["fit", "calibrate", "calibrate", "test", "fit"]


def test_more_folds_than_normal_groups_are_refused(site: Path, siglip: Path) -> None:
    """A fold without a normal picture could not calibrate its member."""
    job = job_for(site, siglip.name, 'head = { kind = "fitted", folds = 5 }')
    few = job.recipe.model_copy(
        update={
            "images": job.recipe.images.model_copy(
                update={"normal": ("normal/normal_0_*.jpg", "normal/normal_1_*.jpg")}
            )
        }
    )
    with pytest.raises(ExportError, match=r"head\.folds = 5: only"):
        load_dataset(few, job.base, job.input)

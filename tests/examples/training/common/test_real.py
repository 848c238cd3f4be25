"""Real sets are read from their open folders, with a validation cut that leaves neighbours together."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from examples.training.common import real
from examples.training.common.samples import IMAGE_SIZE, Sample

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def root() -> Path:
    """The folder of the shared sets, or a skip."""
    if not real.data_root().is_dir():
        pytest.skip(f"{real.data_root()} is not there: set EDGE_DATA to the folder of the shared sets")
    return real.data_root()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["steel", "screw", "pan"])
def test_each_label_is_in_both_cuts(root: Path, name: str) -> None:
    """Training and validation both hold every label, so that validation measures what training taught."""
    samples: list[Sample] = list(real.SETS[name](root))
    found = {split: {s.note["label"] for s in samples if s.split == split} for split in ("train", "validation")}
    assert found["train"] == found["validation"]
    assert all(s.image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) for s in samples)


def test_solar_modules_are_read_from_the_archive(root: Path) -> None:
    """Pictures come straight out of the packed file, with a label each."""
    assert all(sample.note["label"] for sample in islice(real.solar(root), 40))


def test_pitting_boxes_hold_their_polygon(root: Path) -> None:
    """A sample that is called pitting shows a marked place, and no other does."""
    for sample in islice(real.screw(root), 60):
        marked = sample.masks is not None and any(mask.any() for mask in sample.masks.values())
        assert marked == ("pitting" in sample.facts)

"""Tests of the site's own images: sorted by what they show, the demo's very line, other parts."""

from __future__ import annotations

from pathlib import Path

import cv2

from examples.demo.site_images import FAULTS, FIRST_SEED, NORMAL, PICTURES_PER_PART, write_images
from examples.demo.story import CHANNELS, line_settings
from examples.line.line import Line


def test_pictures_are_sorted_by_their_truth_and_grouped_by_part(tmp_path: Path) -> None:
    """Each part gives three pictures under its fault's name, or under normal."""
    counts = write_images(tmp_path, parts=6)
    files = sorted(tmp_path.rglob("*.jpg"))
    assert sum(counts.values()) == len(files) == 6 * PICTURES_PER_PART
    assert {path.parent.name for path in files} == set(counts)
    assert NORMAL in counts
    parts = {path.name.rpartition("_")[0] for path in files}
    assert len(parts) == 6
    assert set(counts) - {NORMAL} <= set(FAULTS)
    assert {channel.vision for channel in CHANNELS if channel.vision} == set(FAULTS), (
        "the demo shows all that the bundle is made for, and nothing else"
    )


def test_a_mask_beside_a_fault_shows_where_it_is(tmp_path: Path) -> None:
    """White where the fault is, of the picture's own size; normal pictures have none."""
    write_images(tmp_path, parts=6)
    masks = {path.with_suffix(".jpg"): cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in tmp_path.rglob("*.png")}
    assert set(masks) == {path for path in tmp_path.rglob("*.jpg") if path.parent.name != NORMAL}
    for picture, mask in masks.items():
        assert mask is not None
        assert mask.shape == cv2.imread(str(picture)).shape[:2]  # type: ignore[union-attr] # it was just written
        assert (mask > 127).any()


def test_the_line_is_the_demos_and_the_parts_are_not() -> None:
    """Same background, lamps and floor; another seed of the schedule."""
    site, demo = (Line(line_settings(CHANNELS, seed=seed, fps=25), 100).visits[0].spec for seed in (FIRST_SEED, 1))
    assert (site.background, site.site, site.light.angle_deg) == (demo.background, demo.site, demo.light.angle_deg)
    assert site.seed != demo.seed

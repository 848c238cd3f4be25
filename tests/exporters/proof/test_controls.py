"""A shortcut that tells the label is named, and one that does not is not."""

from __future__ import annotations

import numpy as np
import pytest

from edge.inference.preprocess import encode_jpeg
from exporters.pictures.circumstances import circumstances
from exporters.proof.calibrate import auroc
from exporters.proof.controls import Control, control, logistic


def judged(
    light: float, head: float, *, faulty: int = 40, normal: int = 60, views: int = 1, seed: int = 0
) -> Control | None:
    """A fault that is lighter by ``light`` and scored higher by ``head``, both in units of their own spread; ``views`` pictures a group."""
    random = np.random.default_rng(seed)
    shown = np.repeat(np.arange(faulty + normal) < faulty, views)
    count = len(shown)
    groups = [str(index // views) for index in range(count)]
    spread = np.repeat(random.normal(size=faulty + normal), views)
    return control(
        "crack",
        {"mean light": (spread + light * shown)[:, None], "file size": random.normal(size=(count, 1))},
        faulty=shown,
        normal=~shown,
        test=np.array([int(group) % 3 == 0 for group in groups]),
        groups=groups,
        scores=(random.normal(size=count) + head * shown).astype(np.float32),
    )


def test_light_that_tells_the_label_as_well_as_the_head_is_a_shortcut() -> None:
    """The report names it, with both figures and what to do."""
    found = judged(light=6, head=6)
    assert found is not None
    assert found.shortcut
    assert found.circumstance == "mean light"
    assert found.area > 0.99
    assert found.note is not None
    assert found.note.startswith("SHORTCUT: mean light alone tells crack")
    assert "build again" in found.note
    assert found.beside is not None
    assert f"AUROC {found.beside:.3f}" in found.note


@pytest.mark.parametrize(("lift", "named"), [(30, True), (0, False)])
def test_pictures_of_faults_taken_in_other_light_are_found_out(*, lift: int, named: bool) -> None:
    """From the pictures themselves: the head is perfect either way, and only the light of the faulty ones differs."""
    random = np.random.default_rng(0)
    shown = np.arange(60) < 24
    level = random.normal(110, 8, 60) + lift * shown
    frames = np.clip(level[:, None, None, None] + random.normal(0, 9, (60, 32, 32, 3)), 0, 255).astype(np.uint8)
    names = [f"{index}.jpg" for index in range(60)]
    found = control(
        "crack",
        circumstances([encode_jpeg(frame) for frame in frames], names, frames),
        faulty=shown,
        normal=~shown,
        test=np.arange(60) % 3 == 0,
        groups=names,
        scores=shown.astype(np.float32),
    )
    assert found is not None
    assert found.shortcut is named
    assert "light" in found.circumstance or "colour" in found.circumstance or not named


@pytest.mark.parametrize("seed", range(20))
def test_light_that_tells_nothing_is_no_shortcut(seed: int) -> None:
    """Neither beside a good head, nor beside one that tells nothing itself."""
    for head in (6.0, 0.0):
        found = judged(light=0, head=head, seed=seed)
        assert found is not None
        assert not found.shortcut
        assert found.note is None


def test_light_that_tells_a_little_is_no_shortcut_beside_a_head_that_tells_all() -> None:
    """It is more than chance, and the head is surely better on the same pictures."""
    found = judged(light=1.5, head=8, faulty=120, normal=180)
    assert found is not None
    assert found.least > 0.5
    assert not found.shortcut
    assert found.verdict == "no"


def test_a_shortcut_of_a_few_pictures_is_not_called_one() -> None:
    """Four against four are told apart by chance too often; ten against ten are not."""
    few, more = judged(light=8, head=8, faulty=4, normal=4), judged(light=8, head=8, faulty=10, normal=10)
    assert few is None or few.verdict == "unsure, too few groups"
    assert more is not None
    assert more.shortcut


def test_many_views_of_few_parts_are_few() -> None:
    """Two hundred pictures of four parts a kind are no evidence that light tells the fault."""
    found = judged(light=8, head=8, faulty=4, normal=4, views=50)
    assert found is None or found.least < 0.5


def test_without_test_pictures_a_sure_circumstance_is_still_named() -> None:
    """Nothing says then that the head is better."""
    shown = np.arange(60) < 30
    found = control(
        "rust",
        {"hour": shown[:, None] + np.random.default_rng(0).normal(0, 0.1, (60, 1))},
        faulty=shown,
        normal=~shown,
        test=np.zeros(60, np.bool_),
        groups=[str(index) for index in range(60)],
        scores=shown.astype(np.float32),
    )
    assert found is not None
    assert found.note is not None
    assert "no test picture measures the head" in found.note


def test_one_kind_alone_is_not_judged() -> None:
    """Without faulty pictures, or without any circumstance that varies, there is nothing to tell."""
    assert judged(light=6, head=6, faulty=0) is None
    shown = np.arange(20) < 10
    groups = [str(index) for index in range(20)]
    none = control("a", {}, faulty=shown, normal=~shown, test=shown, groups=groups, scores=np.zeros(20, np.float32))
    assert none is None


def test_logistic_finds_a_linear_border_and_no_other() -> None:
    """A linear border is found on unseen rows; shuffled labels teach nothing."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(400, 3))
    labels = rows @ np.array([1.0, -2.0, 0.5]) > 0

    def area(taught: np.ndarray) -> float:
        scores = logistic(rows[:200], taught, rows[200:]).astype(np.float32)
        return auroc(scores[labels[200:]], scores[~labels[200:]]) or 0.0

    assert area(labels[:200]) > 0.97
    assert 0.2 < area(random.permutation(labels[:200])) < 0.8

"""What a draft chooses follows from labels and file names, and each choice has its reason."""

from __future__ import annotations

import re

import pytest

from exporters.draft.choice import choose, choose_grouping, is_normal, make_faults
from exporters.recipe import Recipe


@pytest.mark.parametrize(
    "label", ["normal", "Good", "ok", "OK", "MT_Free", "part-ok", "DefectFree", "no-anomaly", "no_defect", "nominal"]
)
def test_names_of_the_normal_state_are_known(label: str) -> None:
    """By the last word, or as no fault."""
    assert is_normal(label)


@pytest.mark.parametrize(
    "label",
    ["not_ok", "no_good", "NOK", "abnormal", "crack", "free_rust", "no_bolt", "no", "", "12", "not free", "不良"],
)
def test_other_names_are_faults(label: str) -> None:
    """In doubt a fault: people see it in the recipe, and no fault is learnt as normal."""
    assert not is_normal(label)


def test_a_label_may_be_named_as_normal() -> None:
    """Whatever its language."""
    assert is_normal("in Ordnung", ["in Ordnung"])
    assert not is_normal("in Ordnung")


def test_every_label_becomes_an_id() -> None:
    """Spellings of one word are one fault; without letters of an id it gets a number; the unnamed channel's own id stays free."""
    faults = make_faults(["Oil leak", "oil-leak", "Öl", "不良", "欠陥", "unnamed", "x" * 100, "2. Bolt"])
    assert {fault.id: fault.labels for fault in faults} == {
        "oil_leak": ("Oil leak", "oil-leak"),
        "ol": ("Öl",),
        "fault_1": ("不良",),
        "fault_2": ("欠陥",),
        "unnamed_fault": ("unnamed",),
        "x" * 64: ("x" * 100,),
        "2_bolt": ("2. Bolt",),
    }
    Recipe(name="x", checkpoint="x", faults=[{"id": f.id, "title": f.title, "words": f.words} for f in faults])


def _names(label: str, form: str, count: int) -> list[str]:
    return [f"{label}/{form.format(group=index // 3, index=index)}" for index in range(count)]


@pytest.mark.parametrize(
    ("form", "group"),
    [
        ("20270115T08{group:02d}0{index:03d}Z_7.jpg", "20270115T0800"),
        ("IMG_20270115_08{group:02d}0{index:03d}.jpg", "20270115_0800"),
        ("part{group}_{index}.jpg", "part0"),
        ("{group:04d}-{index}.png", "0000"),
        ("crack_{group}_{index}.jpg", "crack_0"),
    ],
)
def test_a_grouping_is_found_in_names(form: str, group: str) -> None:
    """The minute, or the part in front."""
    shown = {"normal": _names("normal", form, 30), "crack": _names("crack", form, 30)}
    pattern, why = choose_grouping(shown)
    assert pattern is not None
    found = re.search(pattern, shown["normal"][0])
    assert found is not None
    assert found.group(1) == group
    assert "10 groups of 60 pictures" in why


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("IMG_{index}.jpg", "neither a time nor a part"),
        ("20270115T080000.{index:03d}Z_7.jpg", "NOT GROUPED"),
        ("part{index}_1.jpg", "no two belong together"),
        ("exp1_num_{index}.jpg", "NOT GROUPED|neither"),
    ],
)
def test_where_names_tell_nothing_each_picture_counts(form: str, said: str) -> None:
    """And the reason is told; pictures of one minute are a warning."""
    pattern, why = choose_grouping(
        {"normal": _names("normal", form, 90), "crack": _names("crack", form.replace("part", "lot"), 60)}
    )
    assert pattern is None
    assert re.search(said, why)


def test_few_pictures_are_fitted_in_closed_form_and_in_folds() -> None:
    """Each group serves twice; many pictures get the network."""
    few = choose({"good": _names("good", "{index}.jpg", 20), "crack": _names("crack", "{index}.jpg", 12)})
    assert (few.closed_form, few.folds, few.bound) == (True, 4, 0.05)
    many = choose({"good": _names("good", "{index}.jpg", 900), "crack": _names("crack", "{index}.jpg", 300)})
    assert (many.closed_form, many.bound, many.by_group) == (False, 0.02, False)


def test_folds_need_a_normal_picture_each() -> None:
    """Of two normal pictures one is tested on, so there is one head."""
    assert choose({"good": ["a", "b"], "crack": _names("crack", "{index}.jpg", 9)}).folds == 1
    assert choose({"dent": ["a", "b"], "crack": _names("crack", "{index}.jpg", 9)}).folds == 1


def test_the_bound_counts_groups_where_enough_are_there() -> None:
    """Many pictures of one part are no more evidence than one."""
    grouped = choose({"good": _names("good", "part{group}_{index}.jpg", 300)})
    assert grouped.by_group
    assert grouped.bound == 0.02
    assert not choose({"good": _names("good", "part{group}_{index}.jpg", 45)}).by_group

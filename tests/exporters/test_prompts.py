"""Phrasings are asked once each, with the right normal words beside them."""

from __future__ import annotations

from pathlib import Path

from exporters import load
from exporters.model import Question
from exporters.prompts import questions
from tests.exporters.conftest import job_for


def test_phrases_are_trimmed_and_counted_once(site: Path, siglip: Path) -> None:
    """A phrase repeated by accident must not weigh double; a fault's own normal words replace the recipe's."""
    recipe = job_for(site, siglip.name).recipe
    crack = recipe.faults[0].model_copy(
        update={"words": ("a  crack ", "a crack", "a fracture"), "normal_words": ("an unbroken part",)}
    )
    asked = questions(recipe.model_copy(update={"faults": (crack, recipe.faults[1])}))
    assert asked[0].words == ("a crack", "a fracture")
    assert asked[0].normal_words == ("an unbroken part",)
    assert asked[1].normal_words == recipe.normal_words


def test_a_phrasing_that_is_cut_off_is_named_once(site: Path, siglip: Path) -> None:
    """The text tower silently reads the beginning alone, so the report says which phrasing is too long, and by how much."""
    job = job_for(site, siglip.name)
    model = load.load(job.checkpoint, job.family)
    most = model.model.config.text_config.max_position_embeddings  # type: ignore[attr-defined] # a dual encoder's
    long = " ".join(["crack"] * most)
    asked = [Question("a", ("a dent", long), ("fine",)), Question("b", (long,), ("fine",))]
    (note,) = model.notes(asked)
    assert long in note
    assert f"the checkpoint reads {most}" in note
    assert model.notes([Question("a", ("a dent",), ("fine",))]) == ()

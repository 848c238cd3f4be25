"""The text of a recipe is TOML that says what was chosen, whatever labels and file names hold."""

from __future__ import annotations

from edge.parsing.toml_text import toml_of
from exporters.draft.choice import choose
from exporters.draft.text import comment, quoted, recipe_text
from exporters.recipe import NO_CHECKPOINT, Recipe

ODD = 'a "quoted"\n\\label\x7f \U0001f600'


def _recipe(*labels: str, mask_suffix: str | None = None, count: int = 30) -> tuple[Recipe, str]:
    shown = {label: [f"{label}/{index}.jpg" for index in range(count)] for label in labels}
    text = recipe_text(
        choose(shown),
        name="x",
        checkpoint=None,
        patterns={label: [label, ODD] for label in labels},
        mask_suffix=mask_suffix,
        origin="sub-folders",
        notes=["one\nname = 3", ODD],
    )
    return Recipe(**toml_of(text)), text


def test_odd_labels_and_names_are_text_and_never_keys() -> None:
    """Quotes, line ends, letters that TOML does not allow: in values as they are, in comments as a question mark."""
    recipe, text = _recipe("good", ODD)
    assert recipe.faults[0].images == (ODD, ODD)
    assert recipe.name == "x"
    assert "# - one?name = 3" in text
    assert toml_of(f"x = {quoted(ODD)}") == {"x": ODD}
    assert comment("a\rb") == ["# a?b"]


def test_what_was_chosen_stands_in_the_recipe() -> None:
    """A linear head in folds for few pictures, masks, and an open checkpoint."""
    recipe, text = _recipe("good", "crack", mask_suffix=".png")
    assert (recipe.head.kind, recipe.head.hidden, recipe.head.folds) == ("fitted", 0, 4)
    assert recipe.images.mask_suffix == ".png"
    assert recipe.checkpoint == NO_CHECKPOINT
    assert "TO DO" in text


def test_many_pictures_get_the_network() -> None:
    """The recipe leaves its width out."""
    recipe, _ = _recipe("good", "crack", count=250)
    assert recipe.head.hidden > 0


def test_normal_pictures_alone_make_the_unnamed_channel() -> None:
    """Without faults and without a fitted head; masks are of no use."""
    recipe, _ = _recipe("good", mask_suffix=".png")
    assert [channel.id for channel in recipe.channels] == ["unnamed"]
    assert recipe.head.kind == "words"
    assert recipe.images.mask_suffix is None


def test_faults_alone_are_told_from_each_other() -> None:
    """And the recipe says that nothing will be armed."""
    recipe, text = _recipe("crack", "dent")
    assert recipe.images.normal == ()
    assert "no fault will be armed" in text


def test_the_bound_counts_groups_where_names_have_them() -> None:
    """The pattern and the bound stand together."""
    shown = {"good": [f"good/p{index // 2}_{index}.jpg" for index in range(200)]}
    choice = choose(shown)
    text = recipe_text(
        choice, name="x", checkpoint="c", patterns={"good": ["good"]}, mask_suffix=None, origin="o", notes=[]
    )
    recipe = Recipe(**toml_of(text))
    assert recipe.tolerance.by_group
    assert recipe.images.grouping.pattern == choice.pattern
    assert recipe.checkpoint == "c"

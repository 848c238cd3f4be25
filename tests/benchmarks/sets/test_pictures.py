"""Which picture shows what, by a bundle's own list and by the recipe's patterns in another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sets.pictures import Picture, in_folder, of_bundle, shuffled
from exporters.recipe import Recipe
from tests.stand.bundles import flat_jpeg


def _picture(file: Path, grey: int) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(flat_jpeg(grey, grey, grey))
    return file


def test_a_bundles_list_says_faults_groups_folds_and_scores(tmp_path: Path) -> None:
    """Every row is a picture; those of the part `test` have no fold and are the ones to replay."""
    first, second = _picture(tmp_path / "data" / "a.jpg", 10), _picture(tmp_path / "data" / "b.jpg", 20)
    (tmp_path / "images.csv").write_text(
        "picture,group,part,fold,faults,crack,unnamed\na.jpg,g,fit,2,,0.1,0.2\nb.jpg,h,test,,crack unnamed,0.9,0.8\n"
    )
    normal, faulty = of_bundle(tmp_path, [tmp_path / "other", tmp_path / "data"])
    assert normal == Picture(first, frozenset(), "g", tested=False, fold=2, scores=(0.1, 0.2))
    assert faulty == Picture(second, frozenset({"crack", "unnamed"}), "h", tested=True, fold=-1, scores=(0.9, 0.8))
    assert faulty.shows("crack", ["crack"])
    assert faulty.shows("unnamed", ["crack"])
    assert not normal.shows("unnamed", ["crack"])
    with pytest.raises(SystemExit, match="not below"):
        of_bundle(tmp_path, [tmp_path / "other"])


def test_another_folder_is_read_by_the_recipes_patterns(tmp_path: Path) -> None:
    """What stands behind `/open/` in a pattern is looked for there, and grouped by the recipe's rule."""
    recipe = Recipe.model_validate(
        {
            "name": "r",
            "checkpoint": "c",
            "images": {"normal": ["/nowhere/set/open/ok/*.jpg"], "grouping": {"pattern": r"(\w)\d\.jpg"}},
            "faults": [
                {"id": "crack", "title": "Crack", "words": ["a crack"], "images": ["/nowhere/set/open/bad/*.jpg"]}
            ],
        }
    )
    _picture(tmp_path / "ok" / "a1.jpg", 10)
    _picture(tmp_path / "bad" / "b1.jpg", 30)
    _picture(tmp_path / "bad" / "b2.jpg", 40)
    found = {picture.file.name: picture for picture in in_folder(recipe, tmp_path, tmp_path)}
    assert found["a1.jpg"].faults == frozenset()
    assert found["b1.jpg"].faults == {"crack"}
    assert found["b1.jpg"].group == found["b2.jpg"].group != found["a1.jpg"].group


def test_the_order_is_fixed_and_mixes() -> None:
    """The order of replay does not depend on the order of the files."""
    pictures = [Picture(Path(f"{index}.jpg"), frozenset(), "a") for index in range(9)]
    assert shuffled(pictures) == shuffled(pictures[::-1]) != pictures

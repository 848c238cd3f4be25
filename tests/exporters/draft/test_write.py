"""From a folder to a recipe that plans and finds exactly the pictures that were labelled, and never over another file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from exporters.__main__ import main
from exporters.draft import write
from exporters.draft.write import DraftOptions, write_recipe
from exporters.pictures.images import count_images
from exporters.recipe import find_images, load_recipe
from tests.exporters.conftest import BOARD
from tests.exporters.draft.test_survey import fill, picture


def _counts(out: Path) -> dict[str, int]:
    return dict(count_images(load_recipe(out), out.parent))


@pytest.mark.parametrize(
    "labels", [{"good": 8, "crack": 6}, {"good": 8}, {"dent": 4, "crack": 5}], ids=["both", "normal", "faults"]
)
def test_a_plan_runs_on_the_recipe(
    labels: dict[str, int], tmp_path: Path, siglip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the checkpoint that was named, from the command line to the plan."""
    folder, out = fill(tmp_path / "site", **labels), tmp_path / "recipes" / "r.toml"
    out.parent.mkdir()
    assert main(["init", str(folder), "--out", str(out), "--checkpoint", str(siglip)]) == 0
    assert f"Wrote {out}" in capsys.readouterr().out
    assert main(["plan", str(out), "--board", BOARD]) == 0
    said = capsys.readouterr().out
    assert all(f"{count} {'normal' if label == 'good' else label}" in said for label, count in labels.items())


def test_an_open_checkpoint_is_refused_by_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a sentence that says what to write."""
    out = tmp_path / "r.toml"
    assert main(["init", str(fill(tmp_path / "site", good=3, crack=3)), "--out", str(out)]) == 0
    assert "Put the folder of a checkpoint into" in capsys.readouterr().out
    assert main(["plan", str(out), "--board", BOARD]) == 1
    assert "none is chosen yet; write the folder" in capsys.readouterr().err


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    """Not even a link that leads nowhere."""
    folder = fill(tmp_path / "site", good=3, crack=3)
    (tmp_path / "r.toml").write_text("mine")
    (tmp_path / "link.toml").symlink_to(tmp_path / "nowhere")
    for name in ("r.toml", "link.toml"):
        with pytest.raises(ConfigError, match="is not overwritten"):
            write_recipe(folder, tmp_path / name, DraftOptions())
    assert (tmp_path / "r.toml").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_the_recipe_finds_exactly_the_pictures_that_count(tmp_path: Path) -> None:
    """A folder as a whole, by ending where masks lie in it, and file by file where one of it was left out."""
    site = fill(tmp_path / "si[t]e*", good=4, crack=3, dent=3)
    for index in range(3):
        (site / f"crack/{index}.jpg").rename(site / f"crack/{index}.JPG")
        picture(site / f"crack/{index}.png")
    picture(site / "good/same.jpg", seed=1)
    picture(site / "dent/same.jpg", seed=1)
    out = tmp_path / "r.toml"
    write_recipe(site, out, DraftOptions())
    assert _counts(out) == {"normal": 4, "crack": 3, "dent": 3}
    recipe = load_recipe(out)
    assert {file.name for file in find_images(recipe.images.normal, tmp_path)} == {f"{index}.jpg" for index in range(4)}
    assert recipe.images.mask_suffix == ".png"
    assert len(recipe.faults[0].images) == 1
    assert len(recipe.faults[1].images) == 3


def test_a_table_over_mixed_folders_names_files(tmp_path: Path) -> None:
    """A folder holds pictures of two labels, so each is named; a folder of one label is named whole."""
    site = fill(tmp_path / "site", monday=4, tuesday=3)
    rows = ["monday/0.jpg,ok", "monday/1.jpg,ok", "monday/2.jpg,crack", "monday/3.jpg,crack"]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["file,label", *rows, *(f"tuesday/{index}.jpg,ok" for index in range(3))]))
    out = tmp_path / "r.toml"
    write_recipe(site, out, DraftOptions(labels=table))
    assert _counts(out) == {"normal": 5, "crack": 2}
    assert set(load_recipe(out).images.normal) == {"site/monday/0.jpg", "site/monday/1.jpg", "site/tuesday"}


def test_one_label_that_is_not_normal_is_no_recipe(tmp_path: Path) -> None:
    """As `edge-daemon record` leaves a folder for a camera: nothing says that it is normal, until a person does."""
    site = fill(tmp_path / "recorded", cam1=4)
    out = tmp_path / "r.toml"
    with pytest.raises(ConfigError, match="say --normal 'cam1'"):
        write_recipe(site, out, DraftOptions())
    assert not out.exists()
    write_recipe(site, out, DraftOptions(normal=("cam1",)))
    assert load_recipe(out).unnamed.enabled


def test_a_folder_that_is_no_place_or_no_checkpoint_is_refused(tmp_path: Path) -> None:
    """Before the pictures are read."""
    site = fill(tmp_path / "site", good=2)
    with pytest.raises(ConfigError, match="make it first"):
        write_recipe(site, tmp_path / "no" / "r.toml", DraftOptions())
    with pytest.raises(ConfigError, match=r"has no config\.json"):
        write_recipe(site, tmp_path / "r.toml", DraftOptions(checkpoint=tmp_path))


def test_labels_that_make_no_recipe_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that is called as its normal state, and more files than a recipe may name."""
    site = fill(tmp_path / "site", ok=3)
    for index in range(2):
        picture(site / "a flawless part" / f"{index}.jpg")
    out = tmp_path / "r.toml"
    with pytest.raises(ConfigError, match=r"these labels make no recipe.*remove it from one of them"):
        write_recipe(site, out, DraftOptions())
    monkeypatch.setattr(write, "MAX_TOML_BYTES", 100)
    with pytest.raises(ConfigError, match="sort them into a folder for each label"):
        write_recipe(site, out, DraftOptions())
    assert not out.exists()


def test_a_name_without_letters_of_an_id_gets_one(tmp_path: Path) -> None:
    """The bundle's name comes from the folder's."""
    for folder, name in (("Press 7", "press_7"), ("写真", "pictures")):
        out = tmp_path / f"{name}.toml"
        write_recipe(fill(tmp_path / folder, good=2), out, DraftOptions())
        assert load_recipe(out).name == name

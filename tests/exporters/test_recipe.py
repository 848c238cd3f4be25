"""A recipe is read strictly, says what is wrong, and finds the site's images."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from edge.errors import ConfigError
from exporters import recipe
from exporters.device import Device
from exporters.recordings.recipe import is_recording

GOOD = 'name = "x"\ncheckpoint = "c"\n[[faults]]\nid = "crack"\ntitle = "Crack"\nwords = ["a crack"]\n'
RECIPES = Path(__file__).parents[2] / "examples" / "recipes"
EXAMPLES = [path for path in sorted(RECIPES.glob("*.toml")) if not is_recording(path)]  # those have their own test


def _write(folder: Path, text: str) -> Path:
    file = folder / "recipe.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("= nonsense", "not TOML"),
        (GOOD + 'typo = "y"\n', "faults.0.typo"),
        (GOOD.replace('"a crack"', '"", "  "'), "faults.0.words.0"),
        ("normal_words = []\n" + GOOD, "normal_words"),
        ('normal_words = ["A  crack"]\n' + GOOD, "'a crack' stands for crack and for its normal state"),
        ("quantization = { threads = [0] }\n" + GOOD, "quantization.threads.0"),
        ("quantization = { threads = [] }\n" + GOOD, "quantization.threads"),
        (GOOD.replace('words = ["a crack"]', "words = []"), "faults.0.words"),
        (GOOD + GOOD[GOOD.index("[[faults]]") :], "fault ids repeat"),
        ('head = { kind = "fitted" }\n' + GOOD, "needs images.normal"),
        ("head = { folds = 4 }\n" + GOOD, "folds are for kind"),
        ('head = { kind = "fitted", unnamed_share = 0.5 }\n' + GOOD, "unnamed_share needs"),
        ("images = { fit_share = 0.7, test_share = 0.3 }\n" + GOOD, "leave images for calibration"),
        ('images = { grouping = { pattern = "(" } }\n' + GOOD, "not a regular expression"),
        (GOOD.replace('name = "x"', 'name = "Not An Id"'), "name"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Every mistake is a ConfigError that names the place."""
    with pytest.raises(ConfigError, match=said):
        recipe.load_recipe(_write(tmp_path, text))


def test_defaults_need_only_words(tmp_path: Path) -> None:
    """A name, a checkpoint and one fault in words are a recipe; normal words come from the recipe's own list."""
    found = recipe.load_recipe(_write(tmp_path, GOOD))
    assert found.head.kind == "words"
    assert found.normal_words_of(found.faults[0]) == found.normal_words


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_recipe_loads(file: Path) -> None:
    """What stands in examples/ is read by the program it is an example for."""
    found = recipe.load_recipe(file)
    assert all(len(fault.words) > 1 for fault in found.faults), "an example shows several phrasings"


@pytest.mark.parametrize("model", [recipe.Recipe, Device], ids=lambda model: model.__name__)
def test_every_field_is_described(model: type[BaseModel]) -> None:
    """Each key of recipe and board says what it is."""
    waiting, seen = [model], set()
    while waiting:
        here = waiting.pop()
        seen.add(here)
        for name, field in here.model_fields.items():
            assert field.description, f"{here.__name__}.{name}"
            inner = [
                kind
                for kind in (field.annotation, *getattr(field.annotation, "__args__", ()))
                if isinstance(kind, type)
            ]
            waiting += [kind for kind in inner if issubclass(kind, BaseModel) and kind not in seen]


def test_patterns_find_files_folders_and_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are searched whole, globs as written, masks and notes are not pictures unless named, ${EDGE_DATA} is filled in."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    for name in ("a.jpg", "deep/b.jpeg", "deep/b.png", "notes.txt"):
        (tmp_path / "data" / name).write_bytes(b"")
    base = tmp_path / "recipes"
    base.mkdir()
    assert [path.name for path in recipe.find_images(["../data"], base)] == ["a.jpg", "b.jpeg", "b.png"]
    assert [path.name for path in recipe.find_images(["../data/deep/*.jpeg"], base)] == ["b.jpeg"]
    monkeypatch.setenv("EDGE_DATA", str(tmp_path / "data"))
    assert [path.name for path in recipe.find_images(["${EDGE_DATA}/*.jpg", "../data/a.jpg"], base)] == ["a.jpg"] * 1
    with pytest.raises(ConfigError, match="no JPEG or PNG"):
        recipe.find_images(["${EDGE_DATA}/*.bmp"], base)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    """The message names the folder that was looked in."""
    found = recipe.Recipe.model_validate(tomllib.loads(GOOD))
    with pytest.raises(ConfigError, match=r"config\.json"):
        recipe.checkpoint_folder(found, tmp_path)


def test_one_file_has_one_spelling(tmp_path: Path) -> None:
    """However a pattern winds, the same picture is found once, so that two classes cannot both claim it unseen; a link keeps its name."""
    for folder in ("pics/bad", "r", "store"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "store" / "9f3").write_bytes(b"")
    (tmp_path / "pics" / "bad" / "a.jpg").write_bytes(b"")
    (tmp_path / "pics" / "bad" / "b.jpg").symlink_to(tmp_path / "store" / "9f3")
    base = tmp_path / "r"
    whole = recipe.find_images(["../pics"], base)
    assert [path.name for path in whole] == ["a.jpg", "b.jpg"]
    assert recipe.find_images(["../pics", "../pics/bad/*.jpg", "../r/../pics/*/*.jpg"], base) == whole

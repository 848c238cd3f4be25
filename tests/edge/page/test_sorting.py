"""Pictures are sorted as copies in a folder for each label; sources are only read, and no name comes from a browser."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from edge.errors import ConfigError, EdgeError
from edge.page.settings import PictureSource
from edge.page.sorting import Sorting
from exporters.draft.survey import survey
from tests.stand.bundles import flat_jpeg

LABELS = {"normal", "unsure", "scratch"}


def picture(name: str) -> str:
    """As a browser asks for it."""
    return hashlib.sha256(name.encode()).hexdigest()[:20]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Six pictures of a camera, and what is none."""
    folder = tmp_path / "cam1"
    folder.mkdir()
    for number in range(6):
        (folder / f"20261130T12000{number}.000Z_{number}.jpg").write_bytes(flat_jpeg(40 * number, 0, 0))
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    (folder / "link.jpg").symlink_to("/etc/passwd")
    (folder / "inside").mkdir()
    return folder


@pytest.fixture
def sorting(source: Path, tmp_path: Path) -> Sorting:
    """Nothing is sorted yet."""
    return Sorting([PictureSource(id="press7", folder=source)], tmp_path / "sorted" / "line", 1e6)


def names(source: Path) -> list[str]:
    """Its pictures."""
    return sorted(path.name for path in source.glob("2*.jpg"))


def test_what_is_sorted_is_what_a_draft_reads(sorting: Sorting, source: Path, tmp_path: Path) -> None:
    """Folders are labels, unsure ones are passed over, and the source has what it had."""
    before = {path: path.read_bytes() for path in source.glob("2*.jpg")}
    for name, label in zip(names(source), ["normal", "normal", "scratch", "scratch", "unsure"], strict=False):
        assert sorting.sort("press7", picture(name), label, LABELS) == ""
    found = survey(sorting.folder, None)
    assert {label: len(files) for label, files in found.shown.items()} == {"normal": 2, "scratch": 2}
    assert {path: path.read_bytes() for path in source.glob("2*.jpg")} == before
    assert sorting.counts() == {"normal": 2, "scratch": 2, "unsure": 1}
    with sorting.zipped() as held:
        listed = zipfile.ZipFile(io.BytesIO(held.read())).namelist()
    assert f"line/normal/press7/{names(source)[0]}" in listed
    assert not list(tmp_path.rglob("*.part"))


def test_who_comes_later_goes_on_where_it_ended(sorting: Sorting, source: Path, tmp_path: Path) -> None:
    """Also on a picture that its source let go meanwhile; another label moves it, none takes it back."""
    first, second, *_ = names(source)
    sorting.sort("press7", picture(first), "normal", LABELS)
    sorting.sort("press7", picture(second), "scratch", LABELS)
    (source / second).unlink()
    again = Sorting([PictureSource(id="press7", folder=source)], tmp_path / "sorted" / "line", 1e6)
    assert [one["name"] for one in again.pictures("press7", "", 3)] == names(source)[1:4]
    assert again.pictures("press7", "scratch", 9) == [{"id": picture(second), "name": second, "label": "scratch"}]
    assert again.progress() == [
        {"id": "press7", "pictures": 6, "sorted": 2, "labels": {"normal": 1, "scratch": 1}, "why": ""}
    ]
    assert again.read("press7", picture(second)) == flat_jpeg(40, 0, 0)
    again.sort("press7", picture(second), "unsure", LABELS)
    again.sort("press7", picture(first), "", LABELS)
    assert again.counts() == {"unsure": 1}
    assert [one["name"] for one in again.pictures("press7", "", 1)] == [first]


def test_a_copy_is_said_to_be_one(sorting: Sorting, source: Path) -> None:
    """And a contradiction too."""
    first, second, third, *_ = names(source)
    (source / second).write_bytes((source / first).read_bytes())
    (source / third).write_bytes((source / first).read_bytes())
    sorting.sort("press7", picture(first), "normal", LABELS)
    assert sorting.sort("press7", picture(second), "normal", LABELS).endswith("copies are no new evidence")
    assert "leaves out what is both" in sorting.sort("press7", picture(third), "scratch", LABELS)


def test_what_is_not_there_is_refused(sorting: Sorting, source: Path, tmp_path: Path) -> None:
    """Another source, a name in place of its hash, a link, a label that nobody named, a full folder, an empty one."""
    first = names(source)[0]
    for where, which in (
        ("press8", picture(first)),
        ("press7", first),
        ("press7", "../../x"),
        ("press7", picture("link.jpg")),
    ):
        with pytest.raises(EdgeError, match=r"gone|no source"):
            sorting.sort(where, which, "normal", LABELS)
    with pytest.raises(ConfigError, match="name the fault first"):
        sorting.sort("press7", picture(first), "../x", LABELS)
    full = Sorting([PictureSource(id="press7", folder=source)], tmp_path / "sorted", 10)
    with pytest.raises(ConfigError, match="raise it"):
        full.sort("press7", picture(first), "normal", LABELS)
    empty = Sorting([PictureSource(id="in", folder=source / "inside")], tmp_path / "sorted", 10)
    assert "sub-folders" in empty.progress()[0]["why"]
    with pytest.raises(EdgeError, match="nothing is sorted"):
        empty.zipped()

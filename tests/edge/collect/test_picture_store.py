"""The folder of collected pictures: within bytes and days, the oldest of the least worth first, and a disk that refuses costs one picture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.collect.pick import Kind, Pick
from edge.collect.picture_store import UNSORTED, Limits, PictureStore, name_of
from edge.frame import Frame
from edge.system import spare

WALL_NS = 1_800_000_000_000_000_000
DAY_NS = 86_400 * 1_000_000_000
JPEG = b"\xff\xd8\xff"
LIMITS = Limits(30.0, dict.fromkeys(Kind, 1000))


def pick(seq: int, kind: Kind = Kind.NEAR, worth: int = 50, size: int = 300) -> Pick:
    """A picture of so many bytes, a second after the last one."""
    at_ns = WALL_NS + seq * 1_000_000_000
    data = JPEG + seq.to_bytes(4, "big") + bytes(size - 7)
    return Pick(Frame("cam", seq, data, 0, at_ns, 0), kind, "oil_leak", worth)


def held(folder: Path) -> list[int]:
    """Numbers of the pictures that lie there, in their order."""
    return sorted(int(path.name.split("_")[1]) for path in folder.glob(f"cam/{UNSORTED}/*"))


def test_a_name_says_when_why_and_what_it_is_worth() -> None:
    """The time comes first, so that a recipe can group by the minute."""
    assert name_of(pick(7, worth=93)) == "20270115T080007.000Z_7_near-oil_leak_093.jpg"
    png = Pick(Frame("cam", 7, b"\x89PNG\r\n\x1a\n", 0, WALL_NS, 0, WALL_NS + 10**9), Kind.RANDOM, "", 50)
    assert name_of(png) == "20270115T080001.000Z_7_random_050.png"


def test_when_it_is_full_the_oldest_of_the_least_worth_goes_first(tmp_path: Path) -> None:
    """One of more worth than the new one stays, and one of less than all is not kept."""
    store = PictureStore(tmp_path)
    for seq, worth in enumerate((80, 31, 35)):
        assert store.keep(pick(seq, worth=worth), LIMITS, None) == ["kept"]
    assert store.keep(pick(3, worth=60), LIMITS, None) == ["kept", "replaced"]
    assert held(tmp_path) == [0, 2, 3]
    assert store.keep(pick(4, worth=20), LIMITS, None) == ["outvalued"]
    assert store.keep(pick(5, worth=39), LIMITS, None) == ["kept", "replaced"]
    assert held(tmp_path) == [0, 3, 5]


def test_each_kind_has_room_of_its_own(tmp_path: Path) -> None:
    """Many near pictures do not push out the random ones; a kind without room keeps none."""
    store = PictureStore(tmp_path)
    store.keep(pick(0, Kind.RANDOM), LIMITS, None)
    for seq in range(1, 9):
        store.keep(pick(seq, worth=99), LIMITS, None)
    assert held(tmp_path) == [0, 6, 7, 8]
    assert store.keep(pick(9, Kind.ALARM), Limits(30.0, dict.fromkeys(Kind, 0)), None) == ["outvalued"]


def test_the_order_outlives_a_restart(tmp_path: Path) -> None:
    """Worth is in the names; the time is the file's."""
    for seq, worth in enumerate((80, 31, 35)):
        PictureStore(tmp_path).keep(pick(seq, worth=worth), LIMITS, None)
    PictureStore(tmp_path).keep(pick(3, worth=60), LIMITS, None)
    assert held(tmp_path) == [0, 2, 3]


def test_what_is_too_old_goes_unless_the_clock_is_not_to_be_trusted(tmp_path: Path) -> None:
    """A wrong clock at boot deletes nothing."""
    store = PictureStore(tmp_path)
    store.keep(pick(0), LIMITS, WALL_NS)
    assert store.keep(pick(1), LIMITS, None) == ["kept"]
    assert store.keep(pick(2), LIMITS, WALL_NS + 31 * DAY_NS) == ["expired", "expired", "kept"]
    assert held(tmp_path) == [2]


def test_the_same_picture_is_not_kept_twice(tmp_path: Path) -> None:
    """By content, also of another kind."""
    store, first = PictureStore(tmp_path), pick(0)
    store.keep(first, LIMITS, None)
    assert store.keep(Pick(first.frame, Kind.RANDOM, "", 50), LIMITS, None) == ["copy"]


def test_on_a_full_disk_it_replaces_and_never_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of the disk is the journal's: a picture of more worth takes the room of others, any other is left out."""
    store = PictureStore(tmp_path)
    store.keep(pick(0, Kind.RANDOM, worth=10), LIMITS, None)
    store.keep(pick(1, worth=90), LIMITS, None)
    monkeypatch.setattr(spare, "has_room", lambda _folder, coming: coming <= 0)
    assert store.keep(pick(2, worth=50), LIMITS, None) == ["kept", "replaced"]
    assert store.keep(pick(3, worth=40), LIMITS, None) == ["disk_full"]
    assert held(tmp_path) == [1, 2]


def test_a_disk_that_refuses_costs_that_picture_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing torn is left, and the next one is kept."""
    store = PictureStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _refuse)
        assert store.keep(pick(0), LIMITS, None) == ["disk_error"]
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert store.keep(pick(1), LIMITS, None) == ["kept"]


def test_what_a_killed_daemon_left_torn_is_removed(tmp_path: Path) -> None:
    """A part is no picture."""
    folder = tmp_path / "cam" / UNSORTED
    folder.mkdir(parents=True)
    (folder / "20270115T080007.000Z_7_near-oil_leak_093.part").write_bytes(b"half")
    PictureStore(tmp_path).keep(pick(1), LIMITS, None)
    assert held(tmp_path) == [1]


def test_files_of_others_are_never_deleted(tmp_path: Path) -> None:
    """Whatever has another name, and links."""
    folder = tmp_path / "cam" / UNSORTED
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_bytes(bytes(5000))
    (tmp_path / "far.jpg").write_bytes(b"far")
    (folder / "20270115T080007.000Z_7_near-oil_leak_003.jpg").symlink_to(tmp_path / "far.jpg")
    store = PictureStore(tmp_path)
    for seq in range(5):
        store.keep(pick(seq), LIMITS, WALL_NS + 100 * DAY_NS)
    assert {path.name for path in folder.iterdir()} >= {
        "notes.txt",
        "20270115T080007.000Z_7_near-oil_leak_003.jpg",
    }


def test_a_labelled_picture_moves_into_the_folder_of_its_label(tmp_path: Path) -> None:
    """There it counts and is kept like the others; one that is gone is no matter, nor is a folder in the way."""
    store, first = PictureStore(tmp_path), pick(0, Kind.ALARM, worth=100)
    store.keep(first, LIMITS, None)
    assert store.label("cam", name_of(first), "normal") == ["labelled"]
    assert store.label("cam", name_of(first), "normal") == []
    assert [path.parent.name for path in tmp_path.glob("cam/*/*")] == ["normal"]
    for seq in range(1, 4):
        store.keep(pick(seq, Kind.ALARM, worth=100), LIMITS, None)
    assert held(tmp_path) == [1, 2, 3]
    assert list(tmp_path.glob("cam/normal/*")) == []
    (tmp_path / "cam" / "oil_leak").write_bytes(b"a file in the way")
    assert store.label("cam", name_of(pick(3, Kind.ALARM, worth=100)), "oil_leak") == ["disk_error"]


def _refuse(_descriptor: int) -> None:
    raise OSError(28, "No space left on device")

"""Sets that hold frames or an archive become folders of pictures."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.sets.layout import FRAME_WIDTH, WINDOW, WINDOWS_A_FRAME, ballscrew, frame, solar, steps, windows

COLUMNS = "file,sequence,t_index,timestamp,label,n_pitting,width,height,x0,y0,x1,y1\n"


@pytest.fixture
def screw(tmp_path: Path) -> Path:
    """Two frames of a position, the second larger, and a box in it."""
    (tmp_path / "images").mkdir()
    for name, size in (("a.jpg", (1130, 460)), ("b.jpg", (1540, 645))):
        Image.new("RGB", size, (90, 90, 90)).save(tmp_path / "images" / name)
    (tmp_path / "labels.csv").write_text(
        f"{COLUMNS}b.jpg,1_2,1,,pitting,1,1540,645,,,,\na.jpg,1_2,0,,normal,0,1130,460,,,,\nc.jpg,,,,pitting,1,9,9,,,,\n"
    )
    (tmp_path / "patches.csv").write_text("file,sequence,t_index,x,y,w,h,kind\nb.jpg,1_2,1,10,20,130,130,pitting\n")
    return tmp_path


def test_steps_are_in_the_order_of_time(screw: Path) -> None:
    """Single pictures without a step are no sequence."""
    assert [(step.sequence, step.index, step.label) for step in steps(screw)] == [
        ("1_2", 0, "normal"),
        ("1_2", 1, "pitting"),
    ]


def test_windows_cover_a_frame_of_either_size(screw: Path) -> None:
    """Late frames are brought to the first frames' width, and no column or row is left out."""
    for name in ("a.jpg", "b.jpg"):
        shown = frame(screw / "images" / name)
        found = windows(shown)
        assert shown.width == FRAME_WIDTH
        assert len(found) == 9 * 4
        assert {one.size for one in found} == {(WINDOW, WINDOW)}


def test_boxes_and_windows_of_normal_frames_are_cut(screw: Path, tmp_path: Path) -> None:
    """A box keeps its own size; only the normal frame gives windows."""
    ballscrew(screw, tmp_path / "out")
    (box,) = (tmp_path / "out" / "pitting").iterdir()
    with Image.open(box) as opened:
        assert opened.size == (130, 130)
    assert box.name.startswith("1_2-1-")
    assert len(list((tmp_path / "out" / "window").iterdir())) == WINDOWS_A_FRAME


def test_an_archive_becomes_a_folder_a_class(tmp_path: Path) -> None:
    """Only pictures that the list names are taken."""
    (tmp_path / "labels.csv").write_text("file,label\n10.jpg,Hot-Spot\n")
    with tarfile.open(tmp_path / "images.tar.gz", "w:gz") as archive:
        for name in ("images/10.jpg", "images/11.jpg"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"jpg"))
    solar(tmp_path, tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.jpg")] == [
        "hot-spot/10.jpg"
    ]

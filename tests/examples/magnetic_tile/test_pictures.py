"""Which picture shows what, and which tile: by folder names, by the bundle's own list, and by the README's rule."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from pathlib import Path

import pytest

from examples.magnetic_tile.pictures import FREE, Picture, group, held_out, in_folder, seen, shuffled
from tests.edge.builders import flat_jpeg

DATA = Path(os.environ.get("EDGE_DATA", Path(__file__).parents[4] / "shared" / "data")) / "magnetic_tile" / "open"


def _write(folder: Path, name: str, grey: int = 90) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(flat_jpeg(grey, grey, grey))


def test_labels_come_from_the_folders(tmp_path: Path) -> None:
    """MT_Free is free, MT_Crack is crack; masks (.png) are no pictures."""
    for name in ("MT_Free/exp1_num_1.jpg", "MT_Crack/exp1_num_90000.jpg", "MT_Crack/exp2_num_90300.jpg"):
        _write(tmp_path, name)
    (tmp_path / "MT_Crack" / "exp1_num_90000.png").write_bytes(b"a mask")
    found = in_folder(tmp_path)
    assert [picture.label for picture in found] == [FREE, "crack", "crack"]
    assert found[1].tile == found[2].tile != found[0].tile
    with pytest.raises(SystemExit, match="MT_Free"):
        in_folder(tmp_path / "MT_Free" / "nothing")


def test_held_out_is_what_the_bundle_never_saw(tmp_path: Path) -> None:
    """Only rows of the part `test` are replayed, with the list's labels and groups."""
    for name in ("MT_Free/exp1_num_1.jpg", "MT_Crack/exp1_num_90000.jpg"):
        _write(tmp_path / "data", name)
    (tmp_path / "images.csv").write_text(
        "picture,group,part,faults,any_fault,crack\n"
        "MT_Free/exp1_num_1.jpg,a,fit,,0.1,0.1\n"
        "MT_Crack/exp1_num_90000.jpg,b,test,any_fault crack,0.9,0.9\n"
    )
    file = tmp_path / "data" / "MT_Crack" / "exp1_num_90000.jpg"
    assert held_out(tmp_path, [tmp_path / "other", tmp_path / "data"]) == [Picture(file, "crack", "b")]
    assert seen(tmp_path, [Picture(file, "crack", "b")]) == 0
    assert seen(tmp_path, [Picture(tmp_path / "MT_Free" / "exp1_num_1.jpg", FREE, "a")]) == 1
    with pytest.raises(SystemExit, match="not below"):
        held_out(tmp_path, [tmp_path / "other"])


def test_the_order_is_fixed_and_mixes() -> None:
    """The order of replay does not depend on the order of the files."""
    pictures = [Picture(Path(f"{index}.jpg"), FREE, "a") for index in range(9)]
    assert shuffled(pictures) == shuffled(pictures[::-1]) != pictures


@pytest.mark.realdata
@pytest.mark.skipif(not DATA.is_dir(), reason="EDGE_DATA has no magnetic_tile")
def test_tiles_agree_with_the_list_of_the_set() -> None:
    """Our groups are the set's own tile_group: nearly no pair of pictures is together in one and apart in the other."""
    with (DATA / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    ours = group([DATA / row["file"] for row in rows])
    theirs_in_ours, ours_in_theirs = defaultdict(set), defaultdict(set)
    for row, tile in zip(rows, ours, strict=True):
        theirs_in_ours[row["tile_group"]].add(tile)
        ours_in_theirs[tile].add(row["tile_group"])
    torn = sum(len(tiles) > 1 for tiles in theirs_in_ours.values())
    assert torn <= 0.03 * len(theirs_in_ours), f"{torn} of {len(theirs_in_ours)} tiles are torn apart"
    assert abs(len(ours_in_theirs) - len(theirs_in_ours)) <= 0.05 * len(theirs_in_ours)

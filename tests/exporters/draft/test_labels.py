"""Files of labels are read as what tools and people write, and refused in a sentence otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.errors import ConfigError
from exporters.draft import labels
from exporters.draft.labels import MAX_TABLE_BYTES, read_marks

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}, {"id": 3, "file_name": "c.jpg"}],
    "annotations": [
        {"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]},
        {"image_id": 1, "category_id": 8},
        {"image_id": "2", "category_id": "7"},
        {"image_id": 99, "category_id": 7},
        {"image_id": 1, "category_id": 99},
    ],
    "categories": [{"id": 7, "name": "crack"}, {"id": 8, "name": "dent"}],
}


def _studio(image: str, *results: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image, "n": 3}, "annotations": [{"result": list(results), **more}]}


def _shown(name: str, data: bytes | object) -> dict[str, set[str]]:
    sent = data if isinstance(data, bytes) else json.dumps(data).encode()
    return {picture: set(found) for picture, found in read_marks(name, sent).shown.items()}


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_a_table_is_read_with_each_delimiter(between: str) -> None:
    """As spreadsheets save it, with a byte order mark, CR LF, other columns, and folders as Windows writes them."""
    rows = [
        ["date", "Label", "File"],
        ["1", "crack|dent", "x\\a.jpg"],
        ["2", "ok", '"b.jpg"'],
        ["3", "", "c.jpg"],
        ["4"],
    ]
    table = "\ufeff" + "\r\n".join(between.join(row) for row in rows)
    assert _shown("t.csv", table.encode()) == {"x/a.jpg": {"crack", "dent"}, "b.jpg": {"ok"}, "c.jpg": set()}


def test_rows_of_one_picture_add_up() -> None:
    """A picture with two faults has two rows."""
    assert _shown("t.csv", b"file,label\na.jpg,crack\na.jpg,dent\n") == {"a.jpg": {"crack", "dent"}}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"", "columns"),
        (b"time,value\n1,2\n", "columns"),
        (b"file,label\n\xff,x\n", "UTF-8"),
        (b"file,label\n" + b"a" * 200_000 + b",x\n", "no table"),
        (b"file,label\n" + b"a,b\n" * (MAX_TABLE_BYTES // 4), "divide it"),
    ],
    ids=["empty", "other", "bytes", "long field", "large"],
)
def test_what_is_no_table_of_labels_is_refused(table: bytes, said: str) -> None:
    """With the columns that it should have, or what is wrong."""
    with pytest.raises(ConfigError, match=said):
        read_marks("t.csv", table)


def test_coco_marks_pictures_by_category() -> None:
    """Ids may be numbers or texts; what points nowhere is left out; a picture without annotation has no label."""
    assert _shown("c.json", COCO) == {"a.jpg": {"crack", "dent"}, "b.jpg": {"crack"}, "c.jpg": set()}


@pytest.mark.parametrize(
    ("address", "picture"),
    [
        ("/data/upload/3/0a1b2c3d-part 1.jpg", "part 1.jpg"),
        ("/data/upload/0a1b2c3d-part%201.jpg", "part 1.jpg"),
        ("/data/local-files/?d=site/part%201.jpg", "site/part 1.jpg"),
        ("s3://bucket/site/a.png", "site/a.png"),
        ("a#1.jpg", "a#1.jpg"),
    ],
)
def test_label_studio_names_pictures_by_address(address: str, picture: str) -> None:
    """Uploads, local files, stores, and plain names."""
    boxes = {"type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["crack"]}}
    choice = {"type": "choices", "value": {"choices": ["dent", 5]}}
    assert _shown("s.json", [_studio(address, boxes, choice)]) == {picture: {"crack", "dent"}}


def test_label_studio_leaves_out_what_was_cancelled_and_what_is_no_picture() -> None:
    """A skipped task marks nothing; text tasks are no pictures; broken parts are passed over."""
    box = {"value": {"polygonlabels": ["crack"]}}
    tasks = [
        _studio("a.jpg", box, was_cancelled=True),
        _studio("words", box),
        _studio("http://[x/b.jpg", box),
        {"data": 1},
        7,
    ]
    assert _shown("s.json", [*tasks, _studio("b.jpg", {"value": None}, 3, {"value": {"labels": "x"}})]) == {
        "a.jpg": set(),
        "b.jpg": set(),
    }


@pytest.mark.parametrize(
    "document", [{}, [], {"images": 1, "annotations": []}, [{"image": "a.jpg"}], 3, {"images": []}]
)
def test_other_json_is_refused(document: object) -> None:
    """A configuration that lies beside the pictures is no file of labels."""
    with pytest.raises(ConfigError, match="neither COCO"):
        read_marks("x.json", json.dumps(document).encode())


@pytest.mark.parametrize(
    "document", [b"[" * 100_000, b'{"a":1,"a":2}', b"{", b"[" + b"[]," * (labels.ANNOTATIONS.values + 1) + b"1]"]
)
def test_json_is_counted_before_it_is_parsed(document: bytes) -> None:
    """Too deep, twice the same key, no JSON, too many values."""
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        read_marks("x.json", document)

"""Reads which picture shows what from a table, a COCO file or an export of Label Studio, within bounds; pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from edge.errors import ConfigError, RejectedInput
from edge.parsing.structure import Bounds, json_within
from exporters.recipe import PICTURE_SUFFIXES

MAX_TABLE_BYTES = 16_000_000
ANNOTATIONS = Bounds(size_bytes=64_000_000, values=3_000_000)  # outlines of some ten thousand faults
FILE_COLUMNS = ("file", "filename", "file_name", "image", "picture", "path", "name")
LABEL_COLUMNS = ("label", "labels", "class", "category", "defect", "fault")
_STUDIO_LABELS = (
    "choices",
    "rectanglelabels",
    "polygonlabels",
    "brushlabels",
    "ellipselabels",
    "keypointlabels",
    "labels",
)


@dataclass(frozen=True, slots=True)
class Marks:
    """What a file of labels says.

    Args:
        kind: of file, in words.
        shown: each picture as the file names it, with ``/`` between folders, and its labels; none: nothing is marked in it.
    """

    kind: str
    shown: Mapping[str, frozenset[str]]


def read_marks(name: str, data: bytes) -> Marks:
    """Read a file of labels; a name that ends with ``.json`` is COCO or Label Studio, any other a table.

    Raises:
        ConfigError: it is none of them, or larger than what people mark by hand.
    """
    if name.lower().endswith(".json"):
        try:
            document = json_within(data, ANNOTATIONS)
        except RejectedInput as error:
            raise ConfigError(f"{name} cannot be read as JSON ({error}).") from error
        kind, pairs = _annotations(document)
    else:
        kind, pairs = "table", _table(data, name)
    if pairs is None:
        raise ConfigError(
            f"{name} is neither COCO (images, annotations, categories) nor Label Studio's export as JSON (a list of tasks with data)."
        )
    found: dict[str, set[str]] = {}
    for picture, labels in pairs:
        found.setdefault(picture.replace("\\", "/"), set()).update(label.strip() for label in labels if label.strip())
    return Marks(kind, {picture: frozenset(labels) for picture, labels in found.items()})


def _table(data: bytes, name: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Rows of file and label; a file may have several rows, or several labels with ``|`` between them."""
    if len(data) > MAX_TABLE_BYTES:
        raise ConfigError(f"{name} has {len(data)} bytes, more than {MAX_TABLE_BYTES}: divide it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 at byte {error.start}; save it as UTF-8.") from error
    head = text.partition("\n")[0]
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count)) if any(row)
        ]
    except csv.Error as error:
        raise ConfigError(f"{name} is no table: {error}.") from error
    titles = [title.strip().casefold() for title in rows[0]] if rows else []
    file_column = next((titles.index(title) for title in FILE_COLUMNS if title in titles), None)
    label_column = next((titles.index(title) for title in LABEL_COLUMNS if title in titles), None)
    if file_column is None or label_column is None:
        raise ConfigError(
            f"{name} has no columns of files and labels: call them file and label in its first line, with commas, semicolons or tabs between."
        )
    width = max(file_column, label_column)
    return ((row[file_column].strip(), row[label_column].split("|")) for row in rows[1:] if len(row) > width)


def _annotations(document: Any) -> tuple[str, Iterator[tuple[str, Sequence[str]]] | None]:  # noqa: ANN401 - parsed JSON
    if isinstance(document, dict) and all(isinstance(document.get(key), list) for key in ("images", "annotations")):
        return "COCO file", _coco(document)
    if isinstance(document, list) and any(isinstance(task, dict) and "data" in task for task in document):
        return "export of Label Studio", _studio(document)
    return "", None


def _coco(document: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    categories = {_key(one.get("id")): one.get("name") for one in _objects(document.get("categories"))}
    files = {_key(one.get("id")): one.get("file_name") for one in _objects(document["images"])}
    yield from ((file, ()) for file in files.values() if isinstance(file, str))
    for one in _objects(document["annotations"]):
        file, label = files.get(_key(one.get("image_id"))), categories.get(_key(one.get("category_id")))
        if isinstance(file, str) and isinstance(label, str):
            yield file, (label,)


def _studio(document: Sequence[Any]) -> Iterator[tuple[str, Sequence[str]]]:
    for task in _objects(document):
        data = task.get("data")
        fields = data.values() if isinstance(data, dict) else ()
        named = (_local(value) for value in fields if isinstance(value, str))
        picture = next((name for name in named if PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES), None)
        if picture is None:
            continue
        yield picture, ()
        for annotation in _objects(task.get("annotations")):
            if not annotation.get("was_cancelled"):
                yield picture, list(_studio_labels(annotation))


def _studio_labels(annotation: Mapping[str, Any]) -> Iterator[str]:
    for result in _objects(annotation.get("result")):
        for value in _objects([result.get("value")]):
            lists = [value[kind] for kind in _STUDIO_LABELS if isinstance(value.get(kind), list)]
            yield from (one for names in lists for one in names if isinstance(one, str))


def _local(address: str) -> str:
    """The path in an address of Label Studio: of an upload (without the code in front of its name), of a local file, or of a store."""
    if not re.match(r"/data/|[a-z0-9]+://", address):
        return address
    try:
        parts = urlsplit(address)
    except ValueError:  # a broken address names no picture here
        return ""
    path = (parse_qs(parts.query).get("d") or [unquote(parts.path)])[0]
    return re.sub(r"^/data/upload/(?:\d+/)?(?:[0-9a-f]{8}-)?", "", path).lstrip("/")


def _objects(values: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - parsed JSON
    yield from (one for one in values if isinstance(one, dict)) if isinstance(values, list) else ()


def _key(value: Any) -> str:  # noqa: ANN401 - parsed JSON
    """An id as text: exports write it as a number or as a text, and a list would be no key."""
    return str(value)

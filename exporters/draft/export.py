"""Writes labels for other programs: COCO, as CVAT and others read it, and tasks of Label Studio; pure.

Both are read back by `edge-export init` as they are. A label is of the whole picture, also the normal one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

Format = Literal["coco", "label-studio"]
FORMATS: tuple[Format, ...] = ("coco", "label-studio")


def labels_text(kind: Format, shown: Mapping[str, Sequence[str]], sizes: Mapping[str, tuple[int, int]]) -> str:
    """The file.

    Args:
        kind: of file.
        shown: each label's pictures, by their paths with ``/`` between folders; a picture may stand under several.
        sizes: width and height of each picture, px.
    """
    labels: dict[str, list[str]] = {}
    for label, files in shown.items():
        for file in files:
            labels.setdefault(file, []).append(label)
    document = _coco(labels, sizes) if kind == "coco" else _studio(labels)
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _coco(labels: Mapping[str, Sequence[str]], sizes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """A label of a whole picture is a box of its size: COCO has no label without a place."""
    names = sorted({label for one in labels.values() for label in one})
    ids = {name: number for number, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, file in enumerate(sorted(labels), start=1):
        width, height = sizes[file]
        images.append({"id": number, "file_name": file, "width": width, "height": height})
        for label in sorted(labels[file]):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": ids[label],
                    "bbox": [0, 0, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": ids[name], "name": name} for name in names]
    return {"images": images, "annotations": annotations, "categories": categories}


def _studio(labels: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """A task for each picture with its choices; the picture is looked for in Label Studio's folder of local files."""
    return [
        {
            "data": {"image": f"/data/local-files/?d={quote(file)}"},
            "annotations": [
                {
                    "result": [
                        {
                            "from_name": "label",
                            "to_name": "image",
                            "type": "choices",
                            "value": {"choices": sorted(labels[file])},
                        }
                    ]
                }
            ],
        }
        for file in sorted(labels)
    ]

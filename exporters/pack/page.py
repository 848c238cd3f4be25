"""The report as one page that opens anywhere: report.md as HTML, its plots and the worst pictures inside, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from edge.inference.preprocess import encode_jpeg
from edge.manifest import FaultSpec
from edge.parsing.page import figure, html_page
from exporters.pictures.images import Dataset

WORST = 4  # pictures of each kind and fault
SIDE = 160  # px of a thumbnail at most
QUALITY = 80


@dataclass(frozen=True, slots=True)
class Worst:
    """Test pictures of one fault that were judged wrongly, the worst first: ``rows`` of the dataset."""

    fault: FaultSpec
    kind: str
    rows: tuple[int, ...]
    count: int  # of all


def page(
    markdown: str,
    images: Mapping[str, bytes],
    dataset: Dataset,
    scores: NDArray[np.float32],
    faults: Sequence[FaultSpec],
) -> bytes:
    """The page.

    Args:
        markdown: report.md, which uses headings, lists, tables, images and paragraphs.
        images: PNG files that it shows.
        dataset: the pictures.
        scores: [N, K] of them.
        faults: K of them.
    """
    shown = "".join(_section(one, dataset, scores[:, column]) for column, one in worst(dataset, scores, faults))
    wrong = (
        f"<h2>Pictures judged wrongly</h2><p>Of part test, as the device sees them, the worst first.</p>{shown}"
        if shown
        else ""
    )
    return html_page(markdown, images, wrong)


def worst(dataset: Dataset, scores: NDArray[np.float32], faults: Sequence[FaultSpec]) -> Iterator[tuple[int, Worst]]:
    """False alarms and misses of each fault on test pictures, with the fault's column; kinds without any are left out."""
    test = dataset.part("test")
    for column, fault in enumerate(faults):
        mine = scores[:, column]
        flagged = mine >= fault.threshold
        alarms = np.flatnonzero(test & dataset.normal & flagged)
        misses = np.flatnonzero(test & dataset.labels[:, column] & ~flagged)
        for kind, rows in (
            ("false alarms", alarms[np.argsort(-mine[alarms], kind="stable")]),
            ("misses", misses[np.argsort(mine[misses], kind="stable")]),
        ):
            if len(rows):
                yield column, Worst(fault, kind, tuple(int(row) for row in rows[:WORST]), len(rows))


def _section(one: Worst, dataset: Dataset, scores: NDArray[np.float32]) -> str:
    figures = "".join(
        figure(
            _thumbnail(dataset.frames[row]),
            (f"{scores[row]:.3f}, threshold {one.fault.threshold:.3f}", dataset.names[row]),
        )
        for row in one.rows
    )
    return f"<h3>{escape(one.fault.title)}: {len(one.rows)} of {one.count} {one.kind}</h3>{figures}"


def _thumbnail(frame: NDArray[np.uint8]) -> bytes:
    step = -(-max(frame.shape[:2]) // SIDE)
    return encode_jpeg(frame[::step, ::step], QUALITY)

"""The whole graph at several tower resolutions, 8 worded questions, in turns."""

from __future__ import annotations

import argparse
import os

from benchmarks import report
from benchmarks.onepass import graphs, timing


def main(arguments: argparse.Namespace) -> None:
    """One interleaved run."""
    made = graphs.Made(arguments.folder)
    before = os.getloadavg()[0]
    edges = (graphs.NATIVE_PX, *graphs.SMALLER_PX)
    found = timing.take_turns(
        {str(edge): timing.runner(made.ours("worded", 8, edge)) for edge in edges}, arguments.rounds
    )
    whole = found[str(graphs.NATIVE_PX)]
    rows = [
        {
            "px": edge,
            "image tokens": (edge // 64) ** 2,
            "CPU ms": found[str(edge)].text(),
            "512 px over this": timing.ratio(whole, found[str(edge)]),
        }
        for edge in edges
    ]
    report.write(
        "onepass_resolution",
        title="One pass, SmolVLM-256M's shape, int8, 8 worded questions: tower resolution",
        rows=rows,
        notes=[
            timing.load_note(before),
            "224 px does not divide into this shape's image tokens (64 px each); 192 px stands in its place.",
            "Weights are random: time only. Accuracy at each resolution is measured on the trained model.",
        ],
    )

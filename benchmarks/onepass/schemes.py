"""A decoder in 4 bits against int8 at SmolVLM-256M's shape, 8 worded questions, in turns: time, size, and how far the answers move."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.onepass import graphs, timing
from exporters.checkpoint.folder import read_checkpoint
from exporters.onepass.assembly import stream

SCHEMES: tuple[str, ...] = ("float32", "dynamic-int8", "decoder-int4")


def main(arguments: argparse.Namespace) -> None:
    """Make the graphs that are not there, then one interleaved run."""
    made = graphs.Made(arguments.folder)
    before = os.getloadavg()[0]
    files = {scheme: _graph(made, scheme) for scheme in SCHEMES}
    found = timing.take_turns({scheme: timing.runner(file) for scheme, file in files.items()}, arguments.rounds)
    logits = {scheme: _logits(file) for scheme, file in files.items()}
    rows = [
        {
            "scheme": scheme,
            "CPU ms": found[scheme].text(),
            "over int8": timing.ratio(found[scheme], found["dynamic-int8"]),
            "MiB": round(file.with_name(file.name + ".data").stat().st_size / 2**20),
            "drift of a logit": f"{np.abs(logits[scheme] - logits['float32']).mean():.3f}",
        }
        for scheme, file in files.items()
    ]
    report.write(
        "onepass_schemes",
        title="One pass, SmolVLM-256M's shape, 512 px, 8 worded questions: int8 and 4 bits",
        rows=rows,
        notes=[
            timing.load_note(before),
            "decoder-int4: blocks of 32 in the decoder, int8 in the tower. A build times its candidates likewise, and takes the fastest that keeps the verdicts.",
            f"Random weights; the logits' own standard deviation is {logits['float32'].std():.2f}.",
        ],
    )


def _graph(made: graphs.Made, scheme: str) -> Path:
    if scheme == "dynamic-int8":
        return made.ours("worded", 8)
    target = made.folder / f"{scheme}-8.onnx"
    if not target.exists():
        checkpoint = read_checkpoint(made.checkpoint)
        family = replace(graphs.FAMILY, form="tree")
        stream(family, checkpoint, graphs.prompts(checkpoint, "worded", 8), target, scheme=scheme)
    return target


def _logits(graph: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    loaded = timing.session(graph)
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = loaded.run(
        None, {"frame": timing.frame_of(graphs.NATIVE_PX)}
    )[0]
    return found

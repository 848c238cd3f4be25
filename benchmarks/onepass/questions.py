"""What further questions cost: 8 and 32 over 1 in one whole graph, worded and as one token each, with the share of the machine's matmul peak."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import report
from benchmarks.onepass import graphs, timing
from exporters.checkpoint.folder import read_checkpoint
from exporters.onepass import layout as lay
from exporters.onepass.prompts import Prompts

PRODUCTS = ("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulInteger", "FusedMatMul", "MatMul", "Conv", "Gemm")


def main(arguments: argparse.Namespace) -> None:
    """One interleaved run for the ratios, another for the peak."""
    made = graphs.Made(arguments.folder)
    before = os.getloadavg()[0]
    names = {(kind, count): f"{kind} {count}" for kind in ("worded", "token") for count in graphs.COUNTS}
    calls = {name: timing.runner(made.ours(kind, count)) for (kind, count), name in names.items()}
    calls["worded 32, prefix form"] = timing.runner(made.ours("worded", 32, form="prefix"))
    with tempfile.TemporaryDirectory() as folder:
        calls["peak float32"] = _product(Path(folder) / "f.onnx", small=False)
        calls["peak int8"] = _product(Path(folder) / "i.onnx", small=True)
        found = timing.take_turns(calls, arguments.rounds)
    checkpoint = read_checkpoint(made.checkpoint)
    peaks = {name: EDGE**3 * 2 / found[f"peak {name}"].median / 1e6 for name in ("float32", "int8")}
    rows = []
    for (kind, count), name in names.items():
        nodes = _nodes(graphs.prompts(checkpoint, kind, count))
        products, attention = work(nodes)
        ideal_ms = products / peaks["int8"] / 1e6 + attention / peaks["float32"] / 1e6
        rows.append(
            {
                "questions": name,
                "tokens": nodes,
                "CPU ms": found[name].text(),
                "over 1 question": timing.ratio(found[name], found[names[kind, 1]]),
                "GFLOP": round((products + attention) / 1e9, 1),
                "GFLOP/s": round((products + attention) / found[name].median / 1e6),
                "share of the peak": f"{ideal_ms / found[name].median:.2f}",
            }
        )
    report.write(
        "onepass_questions",
        title="One pass, SmolVLM-256M's shape, 512 px, int8: what questions cost",
        rows=rows,
        notes=[
            "Bars: 32 worded questions at most 1.6 times one, 32 one-token questions at most 1.05 times one.",
            timing.load_note(before),
            (
                f"Measured matmul peak on one thread, in the same turns: float32 {peaks['float32']:.0f} GFLOP/s, int8 {peaks['int8']:.0f} GOP/s "
                f"({EDGE} x {EDGE} x {EDGE}, ONNX Runtime). The share is the time that the graph's products would take at these peaks (weights at "
                "int8's, attention at float32's) over the time that the whole graph takes."
            ),
            (
                f"The 32 worded questions in the prefix form: {found['worded 32, prefix form'].text()} ms, "
                f"{timing.ratio(found['worded 32, prefix form'], found['worded 32'])} times the tree."
            ),
            *_where(made),
        ],
    )


EDGE = 1536


def _product(target: Path, *, small: bool) -> timing.Call:
    """A large square product alone."""
    random = np.random.default_rng(0)
    kind, result = (TensorProto.UINT8, TensorProto.INT32) if small else (TensorProto.FLOAT, TensorProto.FLOAT)
    weight = (
        random.integers(-64, 64, (EDGE, EDGE)).astype(np.int8) if small else random.random((EDGE, EDGE), np.float32)
    )
    given = random.integers(0, 255, (EDGE, EDGE)).astype(np.uint8) if small else random.random((EDGE, EDGE), np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger" if small else "MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", kind, [EDGE, EDGE])],
        [helper.make_tensor_value_info("y", result, [EDGE, EDGE])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), target)
    loaded = timing.session(target)

    def call() -> None:
        loaded.run(None, {"x": given})

    return call


def _nodes(prompts: Prompts) -> int:
    found = lay.split(prompts.sequences)
    return len(found.prefix) + len(lay.grow(found.suffixes).tokens)


def work(tokens: int, edge: int = graphs.NATIVE_PX) -> tuple[float, float]:
    """FLOP of products with weights, and of products between tokens, of SmolVLM-256M's shape."""
    patches = (edge // 16) ** 2
    tower = 12 * (4 * 768 * 768 + 2 * 768 * 3072) * patches + 768 * 768 * patches
    connector = 576 * 12288 * patches / 16
    decoder = 30 * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536) * tokens
    attention = 12 * 2 * 768 * patches**2 + 30 * 2 * 576 * tokens**2
    return 2.0 * (tower + connector + decoder), 2.0 * attention


def _where(made: graphs.Made) -> list[str]:
    """Shares of the time by operator, from ONNX Runtime's own profile."""
    notes = []
    for kind, count in (("worded", 1), ("worded", 32)):
        with tempfile.TemporaryDirectory() as folder:
            loaded = timing.session(made.ours(kind, count), profile=Path(folder) / "profile")
            for _ in range(6):
                loaded.run(None, {"frame": timing.frame_of(graphs.NATIVE_PX)})
            events = json.loads(Path(loaded.end_profiling()).read_text())
        spent: Counter[str] = Counter()
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
                spent[event["args"]["op_name"]] += event["dur"]
        whole = spent.total()
        shares = ", ".join(f"{name} {100 * value / whole:.0f} %" for name, value in spent.most_common(8))
        notes.append(f"Where the time goes, {kind} {count}: {shares}.")
    return notes

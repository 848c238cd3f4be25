"""Small valid things that tests start from: a manifest, a bundle folder, a site."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edge.bundle import MANIFEST
from edge.inference.preprocess import encode_jpeg
from edge.manifest import FORMAT, Manifest, manifest_json

LATENCY = {"scope": "infer", "machine": "test", "runs": 10, "p50_ms": 1.0, "p95_ms": 1.2, "p99_ms": 1.5, "max_ms": 2.0}
PARITY = {"images": 4, "mean_abs": 0.0, "max_abs": 0.0, "flips": 0, "verdicts": 8, "flips_allowed": 0}


def fault(identity: str, **changes: Any) -> dict[str, Any]:
    """A calibrated, armed fault."""
    base: dict[str, Any] = {
        "id": identity,
        "title": identity.capitalize(),
        "words": [f"a {identity}"],
        "normal_words": ["a flawless part"],
        "threshold": 0.8,
        "release": 0.6,
        "calibration": {
            "method": "normal-quantile",
            "normal_images": 200,
            "fault_images": 20,
            "false_alarm_bound": 0.01,
        },
        "armed": True,
    }
    return base | changes


def manifest_document(
    files: dict[str, bytes], *, faults: list[dict[str, Any]] | None = None, **changes: Any
) -> dict[str, Any]:
    """A manifest as plain data, for files given by path and content; ``graph.onnx`` must be among them."""
    faults = faults or [fault("crack"), fault("dent")]
    golden = [{"file": path, "scores": [0.5] * len(faults)} for path in files if path.startswith("golden/")]
    base: dict[str, Any] = {
        "format": FORMAT,
        "name": "line",
        "version": 1,
        "created": datetime(2026, 11, 23, tzinfo=UTC).isoformat(),
        "tool": "test 0",
        "source": {
            "family": "siglip",
            "checkpoint": "tiny",
            "checkpoint_sha256": "0" * 64,
            "licence": "Apache-2.0",
            "parameters": 1,
        },
        "target": {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 40.0},
        "execution": {
            "graph": "graph.onnx",
            "provider": "CPUExecutionProvider",
            "intra_op_threads": 1,
            "scheme": "float32",
        },
        "input": {"name": "frame", "width": 32, "height": 32, "resize": "stretch"},
        "output": "scores",
        "faults": faults,
        "proof": {
            "parity": PARITY,
            "latency": [LATENCY],
            "peak_rss_mib": 100.0,
            "candidates": [],
            "golden": golden,
            "golden_tolerance": 0.05,
            "proven_on_target": False,
        },
        "files": [
            {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
            for path, content in files.items()
        ],
    }
    return base | changes


def write_bundle(folder: Path, files: dict[str, bytes] | None = None, **changes: Any) -> Manifest:
    """Write a bundle whose files need not be a real graph."""
    files = files or {"graph.onnx": b"not a graph", "golden/0.jpg": b"not a picture"}
    manifest = Manifest.model_validate(manifest_document(files, **changes))
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / MANIFEST).write_bytes(manifest_json(manifest))
    return manifest


COLOURS = ("red", "green", "blue")
SPEECH_ROOM = 24
SPEECH_WORDS = ("", "It", " is", " red", " here", ".")  # token 0 ends; the toy model says them in this order


def colour_graph(size: int = 32, scale: float = 255.0) -> bytes:
    """A real ONNX graph: uint8 [1, size, size, 3] to the mean of each colour over `scale`, in 0..1 by default."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "scale"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, size, size, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
            numpy_helper.from_array(np.array(scale, np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    encoded: bytes = model.SerializeToString()
    return encoded


def endless_graph(encoded: bytes | None = None, tensor: str = "mean") -> bytes:
    """A graph, by default `colour_graph`, with a loop behind one of its tensors that leaves it as it is and never ends."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def value(name: str, kind: int, shape: list[int] | None) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["going"]), helper.make_node("Identity", ["in"], ["out"])],
        "again",
        [
            value("round", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("in", TensorProto.FLOAT, None),
        ],
        [value("going", TensorProto.BOOL, []), value("out", TensorProto.FLOAT, None)],
    )
    constants = [
        numpy_helper.from_array(np.array(2**62, np.int64), "rounds"),
        numpy_helper.from_array(np.ones((), bool), "always"),
    ]
    loop = helper.make_node("Loop", ["rounds", "always", "before"], [tensor], body=body)
    return _spliced(encoded or colour_graph(), tensor, [loop], constants)


def hungry_graph() -> bytes:
    """`colour_graph` that makes 4 GB of zeros on its way."""
    from onnx import helper, numpy_helper

    nodes = [
        helper.make_node("ConstantOfShape", ["many"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["before", "zero"], ["mean"]),
    ]
    return _spliced(
        colour_graph(), "mean", nodes, [numpy_helper.from_array(np.array([1000, 1000, 1000], np.int64), "many")]
    )


def _spliced(encoded: bytes, tensor: str, nodes: list[Any], constants: list[Any]) -> bytes:
    """A graph with more nodes behind one of its tensors, which take it as ``before`` and give it again."""
    import onnx

    model = onnx.ModelProto.FromString(encoded)
    place = next(place for place, node in enumerate(model.graph.node) if tensor in node.output)
    model.graph.node[place].output[0] = "before"
    for node in reversed(nodes):
        model.graph.node.insert(place + 1, node)
    model.graph.initializer.extend(constants)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def begin_graph(size: int = 32) -> bytes:
    """uint8 frame -> keys and values [1 layer, 1 head, 2 tokens, 2]: the mean brightness of the picture."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "shape"], ["keys"]),
        helper.make_node("Identity", ["keys"], ["values"]),
    ]
    graph = helper.make_graph(
        nodes,
        "begin",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, size, size, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 2, 2]) for name in ("keys", "values")],
        [numpy_helper.from_array(np.array([1, 1, 2, 2], np.int64), "shape")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def follow_graph() -> bytes:
    """One token behind the cache -> the next number, probability 0.5, and a key and a value that hold the token."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Add", ["token", "one"], ["next"]),
        helper.make_node("Mod", ["next", "words"], ["best"]),
        helper.make_node("Cast", ["token"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["float", "shape"], ["key"]),
        helper.make_node("Identity", ["key"], ["value"]),
        helper.make_node("Identity", ["half"], ["sure"]),
    ]
    cache = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, SPEECH_ROOM, 2]) for name in ("keys", "values")
    ]
    counts = [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in ("token", "place")]
    news = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, 2]) for name in ("key", "value")]
    said = [
        helper.make_tensor_value_info("best", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("sure", TensorProto.FLOAT, [1]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([len(SPEECH_WORDS)], np.int64), "words"),
        numpy_helper.from_array(np.array([1, 1, 1, 2], np.int64), "shape"),
        numpy_helper.from_array(np.array([0.5], np.float32), "half"),
    ]
    graph = helper.make_graph(nodes, "follow", [*counts, *cache], [*news, *said], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def speech_files() -> dict[str, bytes]:
    """What a bundle needs to speak."""
    return {
        "speech/begin.onnx": begin_graph(),
        "speech/follow.onnx": follow_graph(),
        "speech/pieces.json": json.dumps(SPEECH_WORDS).encode(),
    }


def speech_section(faults: int = 3) -> dict[str, Any]:
    """The manifest's section for `speech_files`: every question ends with token 0, behind which comes the first word."""
    return {
        "begin": "speech/begin.onnx", "follow": "speech/follow.onnx", "pieces": "speech/pieces.json", "room": SPEECH_ROOM, "tokens": 100,
        "questions": [[4, 0]] * faults, "ends": [0], "scheme": "float32", "compared": 0, "equal": 0,
    }  # fmt: skip


def flat_jpeg(red: int, green: int, blue: int, size: int = 64) -> bytes:
    """A picture of one colour."""
    return encode_jpeg(np.full((size, size, 3), (red, green, blue), np.uint8))


def colour_bundle(
    folder: Path, *, extra: dict[str, bytes] | None = None, graph: bytes | None = None, **changes: Any
) -> Manifest:
    """A bundle that really runs: its faults are how red, green and blue a picture is; with further files or another graph, if given."""
    pictures = {"golden/0.jpg": (255, 0, 0), "golden/1.jpg": (0, 128, 255)}
    size = changes.get("input", {"width": 32})["width"]
    files = {"graph.onnx": graph or colour_graph(size)} | {
        path: flat_jpeg(*colour) for path, colour in pictures.items()
    }
    files |= extra or {}
    folder.mkdir(parents=True, exist_ok=True)
    document = manifest_document(files, faults=[fault(colour) for colour in COLOURS], name="colours", output="scores")
    document["proof"]["golden"] = [
        {"file": path, "scores": [value / 255 for value in colour]} for path, colour in pictures.items()
    ]
    return write_bundle(
        folder, files, **({"faults": document["faults"], "name": "colours", "proof": document["proof"]} | changes)
    )


PUMP_SENSORS = ("inlet", "outlet")


def mean_graph(name: str = "pump", length: int = 8, sensors: int = 2, over: float = 10.0) -> bytes:
    """A real graph of a window: the mean of all cells that hold a value, over 10 or another number."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("ReduceSum", [name], ["total"], keepdims=0),
        helper.make_node("ReduceSum", [f"{name}_valid"], ["count"], keepdims=0),
        helper.make_node("Max", ["count", "one"], ["cells"]),
        helper.make_node("Div", ["total", "cells"], ["mean"]),
        helper.make_node("Div", ["mean", "over"], ["share"]),
        helper.make_node("Reshape", ["share", "shape"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [
            helper.make_tensor_value_info(one, TensorProto.FLOAT, [1, length, sensors])
            for one in (name, f"{name}_valid")
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1])],
        [
            numpy_helper.from_array(np.array(1.0, np.float32), "one"),
            numpy_helper.from_array(np.array(over, np.float32), "over"),
            numpy_helper.from_array(np.array([1, 1], np.int64), "shape"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def window_cells(value: float, *, missing: int = 0) -> bytes:
    """A golden window of the pump: one value everywhere, but in so many of the first cells none."""
    cells = np.full((8, 2), value, "<f4")
    cells.reshape(-1)[:missing] = np.nan
    return cells.tobytes()


def pump_section(**changes: Any) -> dict[str, Any]:
    """The manifest's window of `mean_graph`: 8 cells of 1 s of two sensors, judged each second."""
    return {
        "name": "pump", "graph": "pump.onnx", "output": "scores", "sensors": PUMP_SENSORS, "period_ms": 1000.0, "length": 8, "step": 1,
        "aggregate": "mean", "min_valid": 0.5,
        "golden": [{"file": "golden/low.f32", "scores": [0.1]}, {"file": "golden/high.f32", "scores": [0.9]}],
    } | changes  # fmt: skip


def pump_files() -> dict[str, bytes]:
    """What a bundle needs to judge the pump."""
    return {
        "pump.onnx": mean_graph(),
        "golden/low.f32": window_cells(1.0, missing=3),
        "golden/high.f32": window_cells(9.0),
    }


def pump_bundle(folder: Path, *, files: dict[str, bytes] | None = None, **changes: Any) -> Manifest:
    """A bundle that judges readings only: its fault is a high mean of two sensors."""
    files = pump_files() | (files or {})
    document = manifest_document(files)
    folder.mkdir(parents=True, exist_ok=True)
    return write_bundle(
        folder,
        files,
        **{
            "faults": [fault("leak", window="pump", threshold=0.5, release=0.4)],
            "name": "pump",
            "execution": document["execution"] | {"graph": "pump.onnx"},
            "input": None,
            "output": None,
            "windows": [pump_section()],
            "proof": document["proof"] | {"golden": []},
        }
        | changes,
    )


def room(seed: int, *, red: bool = False, covered: bool = False) -> bytes:
    """A JPEG of 96 x 96 px that is full of detail and nearly grey; another seed is another moment of it. It may be red, or covered by half."""
    rng = np.random.default_rng(99)
    grey = np.full((96, 96), 110.0)
    for step in (1, 2, 4, 8, 16):
        grey += np.kron(rng.normal(0.0, 14.0, (96 // step, 96 // step)), np.ones((step, step)))
    noise = 2.0 * np.random.default_rng(seed).standard_normal((96, 96, 3))
    picture = np.clip(grey[..., None] + noise, 0, 255).astype(np.uint8)
    if red:
        picture[..., 0] = 255
    if covered:
        picture[:48] = 25 + seed % 2
    return encode_jpeg(picture)

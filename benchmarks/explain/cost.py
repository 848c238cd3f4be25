"""What explanations cost the frames: `python -m benchmarks.explain.cost`.

The real daemon in this process, behind a stock Mosquitto, on the demo's bundle; frames come in by hand, so that their times are exact. Every second an
alarm is raised and explained: 37 runs of the frame's own graph to say where, then a sentence of 24 tokens from a decode graph of random weights.
Blocks with explanations on and off alternate in one run, for a steady camera and for one without a rhythm. `--threads` also compares with explanations on
a thread of their own (docs/decisions/006-explanations.md); `--image` makes and publishes the picture beside each sentence too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks import report
from edge.assembly import load_engine
from edge.bundle import open_bundle
from edge.daemon import Daemon
from edge.explain.beside import Explanations
from edge.explain.explainer import Explainer
from edge.frame import Frame, Stamps
from edge.inference.preprocess import Preprocessor
from edge.manifest import FileEntry, Manifest, manifest_json
from edge.plan import site_bundle
from edge.reload import Live
from edge.site.settings import Site
from edge.system.realtime import make_realtime
from edge.wire.envelope import Incoming
from edge.wire.messages import Explanation
from tests.stand.bundles import SPEECH_WORDS, begin_graph
from tests.stand.daemon import ROOT, STILLS, Broker

DEMO = ROOT / "examples" / "bundles" / "line"
ROOM, TOKENS = 64, 24
WIDTH, LAYERS = 640, 10  # of the decode graph: 26 M weights
BUDGET_MS = 40.0
FRAMES_A_STATE = 8  # so many frames with the fault, then as many without
OWN_THREAD = {"own thread, ordinary": "ordinary", "own thread, idle": "idle", "own thread, FIFO below": "fifo"}


def decode_graph() -> bytes:
    """One token -> the next number; on the way the products of a decoder with 26 M random weights."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Cast", ["token"], ["t"], to=TensorProto.FLOAT),
        helper.make_node("Expand", ["t", "row"], ["h0"]),
    ]
    constants = [numpy_helper.from_array(np.array([1, WIDTH], np.int64), "row")]
    for layer in range(LAYERS):
        up = rng.normal(0, 0.02, (WIDTH, 2 * WIDTH)).astype(np.float32)
        down = rng.normal(0, 0.02, (2 * WIDTH, 2 * WIDTH)).astype(np.float32)
        constants += [
            numpy_helper.from_array(up, f"u{layer}"),
            numpy_helper.from_array(down[:, :WIDTH].copy(), f"d{layer}"),
        ]
        nodes += [
            helper.make_node("MatMul", [f"h{layer}", f"u{layer}"], [f"a{layer}"]),
            helper.make_node("Tanh", [f"a{layer}"], [f"b{layer}"]),
            helper.make_node("MatMul", [f"b{layer}", f"d{layer}"], [f"h{layer + 1}"]),
        ]
    nodes += [
        helper.make_node("Add", ["token", "one"], ["next"]),
        helper.make_node("Mod", ["next", "words"], ["best"]),
        helper.make_node("ReduceMean", [f"h{LAYERS}"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "shape"], ["key"]),
        helper.make_node("Identity", ["key"], ["value"]),
        helper.make_node("Identity", ["half"], ["sure"]),
    ]
    constants += [
        numpy_helper.from_array(np.array([1], np.int64), "one"),
        numpy_helper.from_array(np.array([len(SPEECH_WORDS)], np.int64), "words"),
        numpy_helper.from_array(np.array([1, 1, 1, 2], np.int64), "shape"),
        numpy_helper.from_array(np.array([0.5], np.float32), "half"),
    ]
    cache = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, ROOM, 2]) for name in ("keys", "values")]
    counts = [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in ("token", "place")]
    new = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 1, 2]) for name in ("key", "value")]
    words = [
        helper.make_tensor_value_info("best", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("sure", TensorProto.FLOAT, [1]),
    ]
    graph = helper.make_graph(nodes, "decode", [*counts, *cache], [*new, *words], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def speaking_copy(folder: Path) -> Path:
    """The demo's bundle with graphs that speak, endlessly: the allowance of tokens ends the sentence."""
    shutil.copytree(DEMO, folder)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    files = {
        "speech/begin.onnx": begin_graph(manifest.frame_input.height),
        "speech/follow.onnx": decode_graph(),
        "speech/pieces.json": json.dumps([word or " so" for word in SPEECH_WORDS]).encode(),
    }
    (folder / "speech").mkdir()
    entries = []
    for path, content in files.items():
        (folder / path).write_bytes(content)
        entries.append(FileEntry(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)))
    section = {
        "begin": "speech/begin.onnx", "follow": "speech/follow.onnx", "pieces": "speech/pieces.json", "room": ROOM, "tokens": ROOM,
        "questions": [[1, 2, 3]] * len(manifest.faults), "ends": [99], "scheme": "float32", "compared": 0, "equal": 0,
    }  # fmt: skip
    document = manifest.model_dump() | {"speech": section, "files": [*manifest.files, *entries]}
    (folder / "manifest.json").write_bytes(manifest_json(Manifest.model_validate(document)))
    return folder


class OnlyLooks:
    """On the inference thread an explainer that another thread drives does nothing but look, and leave what was raised."""

    def __init__(self, explainer: Explainer, raised: deque[tuple[str, str, int]]) -> None:
        self.observe = explainer.observe
        self._raised = raised

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> bool:
        """Leave it for the other thread."""
        self._raised.append((alarm_id, occurrence_id, now_ns))
        return True

    def ready(self, now_ns: int) -> bool:
        """Never on this thread."""
        return now_ns < 0

    def step(self) -> None:
        """Not here."""


class Watched(Daemon):
    """A daemon whose explanations can be turned off and on."""

    explainer: Explainer
    raised: deque[tuple[str, str, int]]  # what an explainer on another thread has not yet received

    def _prepare(self) -> Live:
        live = super()._prepare()
        beside: Any = live.worker._beside  # noqa: SLF001 - what runs there is turned off and on below
        self._explanations = next(member for member in beside._members if isinstance(member, Explanations))  # noqa: SLF001 - likewise
        found = self._explanations.explainer
        assert found is not None
        self.explainer, self.raised = found, deque()
        return live

    def explain(self, how: str) -> None:
        """``off``, ``between frames``, or on a thread of its own."""
        self._explanations.explainer = None  # one reference, set at once
        time.sleep(0.3)  # what is under way ends
        self.explainer._waiting.clear()  # noqa: SLF001 - a block begins with an empty desk
        if self.explainer._task is not None:  # noqa: SLF001 - likewise
            self.explainer._end("stale")  # noqa: SLF001 - likewise
        only_looks: Any = OnlyLooks(self.explainer, self.raised)
        self._explanations.explainer = {"off": None, "between frames": self.explainer}.get(how, only_looks)


@dataclass
class Block:
    """What the frames of one way of explaining went through."""

    latency_ms: list[float] = field(default_factory=list)
    replaced: int = 0
    told: list[Explanation] = field(default_factory=list)


@contextmanager
def own_thread(daemon: Watched, policy: str | None) -> Iterator[None]:
    """Explanations on a thread of their own, which runs beside the frames and stops a run when one arrives."""
    if policy is None:
        yield
        return
    stop = threading.Event()

    def work() -> None:
        if policy == "fifo":
            make_realtime(priority=8)  # below the network threads, which have 9
        elif policy == "idle":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        else:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        spare = daemon.explainer._pace.spare_ns  # noqa: SLF001 - it need not leave the frames any time
        daemon.explainer._pace.spare_ns = lambda now_ns: 2**62 + 0 * now_ns  # type: ignore[method-assign] # noqa: SLF001 - likewise
        while not stop.is_set():
            while daemon.raised:
                daemon.explainer.raised(*daemon.raised.popleft())
            if daemon.explainer.ready(time.monotonic_ns()):
                daemon.explainer.step()
            else:
                time.sleep(0.001)
        daemon.explainer._pace.spare_ns = spare  # type: ignore[method-assign] # noqa: SLF001 - likewise

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Rig:
    """The daemon, its camera, and what is noted of each frame."""

    def __init__(self, folder: Path, port: int, fault: str, *, image: bool) -> None:
        alarm = {"severity": 700, "message": "m", "operator_action": "a", "consequence": "c", "off_delay_ms": 0.0}
        site = Site.model_validate(
            {
                "bundle": folder / "bundle",
                "node": {"id": "bench"},
                "broker": {"port": port},
                "cameras": ({"id": "cam", "budget_ms": BUDGET_MS, "picture": STILLS, "snapshot": True},),
                "faults": ({"id": fault, "camera": "cam", "alarm": alarm | {"auto_ack": True}},),
                "explain": {"max_tokens": TOKENS, "image": image},
                "runtime": {"allow_other_board": True},
            }
        )
        self.daemon = Watched(site, site_bundle(site))
        self.block = Block()
        done, tell = self.daemon.health.frame_done, self.daemon._publisher.explanation  # noqa: SLF001 - listened to

        def frame_done(frame: Frame, stamps: Stamps, published_ns: int) -> None:
            done(frame, stamps, published_ns)
            self.block.latency_ms.append((published_ns - frame.received_ns) / 1e6)

        def explanation(message: Explanation) -> None:
            self.block.told.append(message)
            tell(message)

        self.daemon.health.frame_done = frame_done  # type: ignore[method-assign] # listened to
        self.daemon._publisher.explanation = explanation  # type: ignore[method-assign] # noqa: SLF001 - likewise
        self.topic = site.frame_topic(site.cameras[0])
        self.daemon.start()
        time.sleep(1.0)

    def film(self, block: Block, pictures: list[bytes], gap_s: Callable[[], float], seconds: float) -> None:
        """Frames for a while."""
        self.block = block
        due, end, number = time.monotonic(), time.monotonic() + seconds, 0
        dropped = self._dropped()
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            picture = pictures[number // FRAMES_A_STATE % 2]
            self.daemon.inlet.arrived(Incoming(self.topic, picture, False, time.monotonic_ns(), time.time_ns()))  # noqa: FBT003 - here the camera's wire ends
            number += 1
            due += gap_s()
        time.sleep(0.3)
        if not block.latency_ms:
            raise SystemExit(f"no frame was judged: {self.daemon._failure}")  # noqa: SLF001 - the reason
        block.replaced += self._dropped() - dropped

    def _dropped(self) -> int:
        return sum(self.daemon.health.cameras(time.monotonic_ns())["cam"].dropped.values())


def choose_pictures(bundle_path: Path) -> tuple[str, list[bytes]]:
    """A fault of the demo's bundle with a golden picture that shows it and one that does not."""
    bundle = open_bundle(bundle_path)
    engine, prepare = load_engine(bundle), Preprocessor(bundle.manifest.frame_input).prepare
    encoded = [(bundle.path / golden.file).read_bytes() for golden in bundle.manifest.proof.golden]
    scores = np.stack([engine.run(prepare(picture)) for picture in encoded])
    limits = np.array([fault.threshold for fault in bundle.manifest.faults])
    fault = int(np.argmax((scores - limits).max(axis=0) * (scores.min(axis=0) < limits)))
    pictures = [encoded[int(scores[:, fault].argmax())], encoded[int(scores[:, fault].argmin())]]
    return bundle.manifest.faults[fault].id, pictures


def row(camera: str, how: str, block: Block) -> dict[str, object]:
    """Of one camera and one way of explaining."""
    values = block.latency_ms
    generated = Counter(told.how for told in block.told)["generated"]
    return {
        "camera": camera,
        "explanations": how,
        "frames": len(values),
        "p50 ms": statistics.median(values),
        "p95 ms": report.percentile(values, 95),
        "p99 ms": report.percentile(values, 99),
        "max ms": max(values),
        f"over {BUDGET_MS:g} ms": sum(value > BUDGET_MS for value in values),
        "dropped": block.replaced,
        "told": len(block.told),
        "in words": generated,
        "with a picture": sum(told.image is not None for told in block.told),
        "median made ms": statistics.median(told.made_ms for told in block.told) if block.told else 0.0,
        "median waited ms": statistics.median(told.waited_ms for told in block.told) if block.told else 0.0,
        "gave way": sum(told.preempted for told in block.told),
    }


def main() -> None:
    """Blocks in turns, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, help="of blocks")
    parser.add_argument("--seconds", type=float, default=16.0, help="of each block")
    parser.add_argument("--threads", action="store_true", help="also on a thread of their own, three ways")
    parser.add_argument("--image", action="store_true", help="with pictures")
    options = parser.parse_args()
    rng = random.Random(0)
    cameras: dict[str, Callable[[], float]] = {
        "steady 10 fps": lambda: 0.1,
        "no rhythm, 50 to 150 ms": lambda: rng.uniform(0.05, 0.15),
    }
    ways = ["off", "between frames", *(OWN_THREAD if options.threads else ())]
    blocks = {(camera, how): Block() for camera in cameras for how in ways}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder)
        fault, pictures = choose_pictures(speaking_copy(folder / "bundle"))
        make_realtime(priority=9)  # as `edge-daemon run` does before it starts anything
        rig = Rig(folder, broker.port, fault, image=options.image)
        for _ in range(options.rounds):
            for (camera, how), block in blocks.items():
                rig.daemon.explain(how)
                with own_thread(rig.daemon, OWN_THREAD.get(how)):
                    rig.film(block, pictures, cameras[camera], options.seconds)
        rig.daemon.stop()
        broker.stop()
    report.write(
        "explain" + ("_threads" if options.threads else "") + ("_image" if options.image else ""),
        title="What explanations cost the frames",
        rows=[row(camera, how, block) for (camera, how), block in blocks.items()],
        notes=[
            f"The demo's bundle, a decode graph of 26 M random weights beside it; an alarm every {2 * FRAMES_A_STATE} frames; {TOKENS} tokens a sentence.",
            f"Blocks of {options.seconds:g} s in turns, {options.rounds} rounds; inference thread {rig.daemon.grant.policy} {rig.daemon.grant.priority}.",
            f"Load average {load:.1f} before the run: whatever else ran on this machine is in all rows.",
            "Latency is from a frame's receipt to its flags handed over.",
        ],
    )


if __name__ == "__main__":
    report.run(main)

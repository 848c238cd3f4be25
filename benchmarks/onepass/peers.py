"""One pass against generation, SmolVLM-256M's shape and the same weights: transformers without a shared cache, ONNX Runtime and llama.cpp with a cached image.

    python -m benchmarks.onepass peers --folder FOLDER --rounds 5 --llama PYTHON

llama.cpp runs in an environment of its own (`pip install llama-cpp-python gguf`), as a process that is told when its turn is; its weights are
random numbers of the same shape in Q8_0. Its picture part is the time of the peer's tower in ONNX Runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
import torch

from benchmarks import report
from benchmarks.onepass import graphs, timing
from benchmarks.onepass.timing import Samples
from exporters.checkpoint.folder import read_checkpoint
from exporters.checkpoint.whole import load_whole

ANSWER_TOKENS = 8
WHOLE_QUESTIONS = 2  # timed with transformers; every question costs the same there, so the rest is multiplied


def main(arguments: argparse.Namespace) -> None:
    """One interleaved run of everything."""
    made = graphs.Made(arguments.folder)
    before = os.getloadavg()[0]
    calls: dict[str, timing.Call] = {
        f"{kind} {count}": timing.runner(made.ours(kind, count)) for kind in ("worded", "token") for count in (8, 32)
    }
    cached = Cached(made)
    calls |= {
        "decoder worded 32": given(made.part("ours-worded")),
        "decoder token 32": given(made.part("ours-token")),
        "tower": timing.runner(made.part("tower")),
        "ort 8": lambda: cached.answer(8),
        "ort 32": lambda: cached.answer(32),
        "transformers": whole(made),
    }
    if arguments.llama is not None:
        llama = Llama(arguments.llama, made, cached.lengths)
        calls |= {"llama 8": lambda: llama.answer(8), "llama 32": lambda: llama.answer(32)}
    found = timing.take_turns(calls, arguments.rounds)
    rows = [_row(*compared) for compared in comparisons(found)]
    report.write(
        "onepass_peers",
        title="One pass against generation, SmolVLM-256M's shape, 512 px",
        rows=rows,
        notes=[
            timing.load_note(before) + " Medians with quartiles, ms; ratios are taken round by round.",
            (
                f"Generation answers with {ANSWER_TOKENS} tokens. transformers: float32, one call of generate a question, {WHOLE_QUESTIONS} questions "
                "timed and multiplied. ONNX Runtime: dynamic int8, tower and prefix once, then every question's words and the steps, "
                f"whole vocabulary head, pairs kept as OrtValues; prefix {cached.lengths[0]} tokens, question {cached.lengths[1]}."
            ),
            "llama.cpp: text decoder in Q8_0 behind a cached prefix of the same length, with the tower's time in ONNX Runtime added."
            if arguments.llama is not None
            else "llama.cpp was not run.",
        ],
    )


def comparisons(found: dict[str, Samples]) -> list[tuple[str, Samples, Samples]]:
    """(what, ours, theirs) for every row."""
    tower = found["tower"]
    whole_answer = found["transformers"]
    rows = [
        (f"{count} questions, worded, over transformers", found[f"worded {count}"], times(whole_answer, count))
        for count in (8, 32)
    ]
    for name, title in (("ort", "ONNX Runtime int8"), ("llama", "llama.cpp Q8_0")):
        if f"{name} 32" not in found:
            continue
        for count in (8, 32):
            theirs = plus(tower, found[f"{name} {count}"])
            rows += [
                (f"{count} questions, {kind}, over cached {title}", found[f"{short} {count}"], theirs)
                for kind, short in (("worded", "worded"), ("one-token", "token"))
            ]
        rows += [
            (
                f"decoder alone, 32 questions, worded, over {title}",
                found["decoder worded 32"],
                found[f"{name} 32"],
            ),
            (
                f"decoder alone, 32 questions, one-token, over {title}",
                found["decoder token 32"],
                found[f"{name} 32"],
            ),
        ]
    return rows


def _row(name: str, mine: Samples, theirs: Samples) -> dict[str, object]:
    return {
        "ours over": name,
        "ours CPU ms": mine.text(),
        "theirs CPU ms": theirs.text(),
        "times faster": timing.ratio(theirs, mine),
    }


def times(one: Samples, count: int) -> Samples:
    """So many of the same."""
    return Samples(tuple(value / WHOLE_QUESTIONS * count for value in one.values_ms))


def plus(first: Samples, second: Samples) -> Samples:
    """One after the other, round by round."""
    return Samples(tuple(a + b for a, b in zip(first.values_ms, second.values_ms, strict=True)))


def given(graph: Path) -> timing.Call:
    """Runs our decoder alone, on image tokens."""
    loaded = timing.session(graph)
    item = loaded.get_inputs()[0]
    feed = {item.name: np.random.default_rng(0).standard_normal(item.shape).astype(np.float32)}
    return lambda: loaded.run(None, feed) and None


class Cached:
    """Generation behind a cached prefix in ONNX Runtime: prefix once, then for every question its words and one step a token."""

    def __init__(self, made: graphs.Made) -> None:
        self.prefix, self.question, self.step = (timing.session(made.part(p)) for p in ("prefix", "question", "step"))
        self.lengths = graphs.lengths(graphs.prompts(read_checkpoint(made.checkpoint), "worded", 32))
        random = np.random.default_rng(0)
        self.table = random.standard_normal((49280, 576)).astype(np.float32)

    def answer(self, questions: int) -> None:
        """All questions, greedily."""
        pairs = self._run(self.prefix, self._inputs(0, self.lengths[0]))
        for question in range(questions):
            start = self.lengths[0]
            logits, *grown = self._run(self.question, self._inputs(start, self.lengths[1], question), pairs)
            for token in range(ANSWER_TOKENS - 1):
                best = int(logits.numpy().argmax())
                place = start + self.lengths[1] + token
                logits, *grown = self._run(self.step, self._inputs(place, 1, best), grown)

    def _inputs(self, place: int, length: int, token: int = 0) -> list[Any]:
        angles = (place + np.arange(length))[None, :, None] / 10000 ** (np.arange(64) % 32 / 32)[None, None]
        hidden = np.resize(self.table[token : token + length], (1, length, 576))
        arrays = (hidden, np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))
        return [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)) for array in arrays]

    @staticmethod
    def _run(session: Any, inputs: list[Any], pairs: list[Any] | None = None) -> list[Any]:  # noqa: ANN401 - ONNX Runtime has no types
        names = [item.name for item in session.get_inputs()]
        feed = dict(zip(names, [*inputs, *(pairs or [])], strict=True))
        found: list[Any] = session.run_with_ort_values([item.name for item in session.get_outputs()], feed)
        return found


def whole(made: graphs.Made) -> timing.Call:
    """Transformers' own generate, a call a question."""
    torch.set_num_threads(1)
    checkpoint = read_checkpoint(made.checkpoint)
    model = load_whole(made.checkpoint, "AutoModelForImageTextToText")
    prompts = graphs.prompts(checkpoint, "worded", WHOLE_QUESTIONS)
    pixels = torch.rand(1, 1, 3, graphs.NATIVE_PX, graphs.NATIVE_PX)
    generate = cast("Callable[..., Any]", model.generate)

    def call() -> None:
        for sequence in prompts.sequences:
            tokens = torch.tensor([sequence])
            generate(
                input_ids=tokens, attention_mask=torch.ones_like(tokens), pixel_values=pixels, do_sample=False,
                max_new_tokens=ANSWER_TOKENS, min_new_tokens=ANSWER_TOKENS,
            )  # fmt: skip

    return call


class Llama:
    """llama.cpp as a process of its own that waits for its turn and reports the processor time it took."""

    def __init__(self, python: Path, made: graphs.Made, lengths: tuple[int, int]) -> None:
        script = Path(__file__).with_name("llama_peer.py")
        words = [str(python), str(script), str(made.folder / "peer-q8_0.gguf"), *map(str, lengths), str(ANSWER_TOKENS)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._hear()

    def answer(self, questions: int) -> float:
        """Processor time of all questions, s."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{questions}\n")
        self.process.stdin.flush()
        return float(self._hear()["cpu_s"])

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("llama.cpp's process ended; run llama_peer.py by hand to see why")
        said: dict[str, Any] = json.loads(line)
        return said

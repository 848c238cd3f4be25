"""One pass at real sizes, with random weights of the true shapes: what a streamed export needs, and what further questions cost.

    python -m benchmarks.onepass stream smolvlm-256m --scheme dynamic-int8
    python -m benchmarks.onepass questions smolvlm-256m --resolution 256

Results go to benchmarks/results/onepass.json, one entry per command. Ratios are taken inside one interleaved run.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
import transformers
from accelerate import init_empty_weights

from exporters.families import gemma3, qwen35, smolvlm
from exporters.families.base import Question, read_checkpoint
from exporters.onepass.generative import Generative
from exporters.onepass.plan import plan_stream
from exporters.stream import Scheme, stream
from tests.exporters import tiny_checkpoints as tiny

RESULTS = Path(__file__).parent / "results" / "onepass.json"
SEED = 0
BLOCK = 1 << 20  # random numbers drawn once and repeated: drawing billions would be the benchmark

VISION_93M = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 512,
    "patch_size": 16,
}
VISION_SO400M = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 896,
    "patch_size": 14,
    "vision_use_head": False,
}


def llama(hidden: int, inner: int, layers: int, heads: int, groups: int) -> dict[str, Any]:
    """Text configuration of a SmolVLM."""
    return {
        "model_type": "llama", "vocab_size": 49280, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": groups, "head_dim": 64, "pad_token_id": 2, "tie_word_embeddings": False,
    }  # fmt: skip


def gemma(hidden: int, inner: int, layers: int, heads: int, groups: int) -> dict[str, Any]:
    """Text configuration of a Gemma 3."""
    return {
        "vocab_size": 262208, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": groups, "head_dim": 256, "sliding_window": 1024, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
        "layer_types": ["full_attention" if (n + 1) % 6 == 0 else "sliding_attention" for n in range(layers)],
    }  # fmt: skip


QWEN35 = {
    "vocab_size": 248320, "hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 24, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 256, "linear_num_key_heads": 16, "linear_num_value_heads": 16, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_section": [11, 11, 10], "mrope_interleaved": True,
    },
}  # fmt: skip
QWEN_VISION = {
    "depth": 12, "hidden_size": 768, "intermediate_size": 3072, "num_heads": 12, "patch_size": 16, "spatial_merge_size": 2,
    "temporal_patch_size": 2, "out_hidden_size": 1024, "num_position_embeddings": 2304,
}  # fmt: skip
FAMILIES: dict[str, Generative] = {"smolvlm": smolvlm.FAMILY, "gemma3": gemma3.FAMILY, "qwen35": qwen35.FAMILY}
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "smolvlm-256m": (
        "smolvlm",
        {"text_config": llama(576, 1536, 30, 9, 3), "vision_config": VISION_93M, "scale_factor": 4},
    ),
    "smolvlm-500m": (
        "smolvlm",
        {"text_config": llama(960, 2560, 32, 15, 5), "vision_config": VISION_93M, "scale_factor": 4},
    ),
    "gemma3-4b": (
        "gemma3",
        {"text_config": gemma(2560, 10240, 34, 8, 4), "vision_config": VISION_SO400M, "mm_tokens_per_image": 256},
    ),
    "gemma3-12b": (
        "gemma3",
        {"text_config": gemma(3840, 15360, 48, 16, 8), "vision_config": VISION_SO400M, "mm_tokens_per_image": 256},
    ),
    "qwen35-0.8b": ("qwen35", {"text_config": QWEN35, "vision_config": QWEN_VISION}),
}
PARTS = ("housing", "shaft", "gear", "bearing", "cover", "flange", "weld", "seal")
FAULTS = ("scratch", "crack", "dent", "missing bolt")
WORDED = tuple(f"Is there a {fault} on the {part}?" for part in PARTS for fault in FAULTS)


def configuration(size: str) -> Any:  # noqa: ANN401 - a transformers config
    """The true shape, with the special tokens of the fixture's tokenizer."""
    family, values = SIZES[size]
    if family == "smolvlm":
        return transformers.Idefics3Config(**values, image_token_id=3)
    if family == "gemma3":
        return transformers.Gemma3Config(**values, image_token_id=3, boi_token_id=4, eoi_token_id=5)
    return transformers.Qwen3_5Config(
        **values, image_token_id=5, video_token_id=6, vision_start_token_id=3, vision_end_token_id=4
    )


def shapes_of(size: str) -> dict[str, tuple[int, ...]]:
    """Every tensor of the true shape, by name, without a weight in memory."""
    with init_empty_weights():
        model = transformers.AutoModelForImageTextToText.from_config(configuration(size))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def make_checkpoint(size: str, folder: Path) -> Path:
    """A checkpoint of the true shape with random float16 weights: the fixture's tokenizer and processor, our own weights."""
    family, values = SIZES[size]
    getattr(tiny, family)(folder)
    (folder / "model.safetensors").unlink()
    configuration(size).save_pretrained(folder)
    rule = json.loads((folder / "preprocessor_config.json").read_text())
    edge = values["vision_config"].get("image_size", 448)
    rule["size"] = {"longest_edge": edge} if family == "smolvlm" else {"height": edge, "width": edge}
    if family == "qwen35":
        rule |= {"size": {"shortest_edge": 256, "longest_edge": 1 << 24}, "patch_size": 16}
    (folder / "preprocessor_config.json").write_text(json.dumps(rule))
    write_random(shapes_of(size), folder / "model.safetensors")
    return folder


def write_random(shapes: dict[str, tuple[int, ...]], target: Path) -> None:
    """Random float16 tensors in the safetensors format, written one after the other."""
    block = np.random.default_rng(SEED).standard_normal(BLOCK).astype(np.float32)
    header, start = {}, 0
    for name, shape in shapes.items():
        end = start + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    encoded = json.dumps(header).encode()
    with target.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for shape in shapes.values():
            scale = 1.0 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.02
            piece = (block * scale + (1.0 if len(shape) == 1 else 0.0)).astype(np.float16).tobytes()
            left = 2 * math.prod(shape)
            while left > 0:
                stream.write(piece[:left])
                left -= len(piece)


def stream_one(size: str, scheme: str, folder: Path, questions: int, resolution: int | None) -> None:
    """In a process of its own: stream, and print what it took as JSON."""
    start = time.perf_counter()
    checkpoint = read_checkpoint(folder)
    family = replace(FAMILIES[SIZES[size][0]], resolution_px=resolution)
    asked = [Question(str(n), (words,), ()) for n, words in enumerate(WORDED[:questions])]
    target = folder / f"{scheme}-{questions}.onnx"
    written = stream(family, checkpoint, family.compile(checkpoint, asked), target, scheme=cast("Scheme", scheme))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - start,
                "cpu_seconds": used.ru_utime + used.ru_stime,
                "peak_bytes": used.ru_maxrss * 1024,
                "output_bytes": written.bytes,
                "quantized": written.quantized,
            }
        )
    )


def stream_size(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the checkpoint, stream it in a fresh process, compare with the plan."""
    planned = plan_stream(shapes_of(arguments.size), arguments.scheme)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = make_checkpoint(arguments.size, Path(scratch))
        found = child(arguments, folder, 8)
    return found | {"planned": asdict(planned)}


def child(arguments: argparse.Namespace, folder: Path, questions: int) -> dict[str, Any]:
    """Run `stream_one` in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.onepass",
        "one",
        arguments.size,
        "--scheme",
        arguments.scheme,
        "--folder",
        str(folder),
        "--questions",
        str(questions),
    ]
    command += ["--resolution", str(arguments.resolution)] if arguments.resolution else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def questions_cost(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time of the graph with 1, 8 and 32 questions, run in turns on one thread; processor time, because the machine may be shared."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = make_checkpoint(arguments.size, Path(scratch))
        sessions = {}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        for count in (1, 8, 32):
            child(arguments, folder, count)
            sessions[count] = ort.InferenceSession(
                str(folder / f"{arguments.scheme}-{count}.onnx"), options, providers=["CPUExecutionProvider"]
            )
        edge = sessions[1].get_inputs()[0].shape[1]
        frame = np.random.default_rng(SEED).integers(0, 256, (1, edge, edge, 3), dtype=np.uint8)
        times: dict[int, list[float]] = {count: [] for count in sessions}
        for turn in range(arguments.rounds + 1):
            for count, session in sessions.items():
                start = time.process_time()
                session.run(None, {"frame": frame})
                if turn:
                    times[count].append((time.process_time() - start) * 1e3)
    medians = {count: float(np.median(values)) for count, values in times.items()}
    return {
        "cpu_ms": medians,
        "32_over_1": medians[32] / medians[1],
        "8_over_1": medians[8] / medians[1],
        "rounds": arguments.rounds,
    }


def main() -> None:
    """Run one command and keep its result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["stream", "questions", "plan", "one"])
    parser.add_argument("size", choices=sorted(SIZES))
    parser.add_argument("--scheme", choices=["float32", "dynamic-int8"], default="dynamic-int8")
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="where checkpoints and graphs of the run are put; default: the system's",
    )
    arguments = parser.parse_args()
    if arguments.command == "one":
        stream_one(arguments.size, arguments.scheme, arguments.folder, arguments.questions, arguments.resolution)
        return
    if arguments.command == "plan":
        result: dict[str, Any] = asdict(plan_stream(shapes_of(arguments.size), arguments.scheme))
    else:
        result = stream_size(arguments) if arguments.command == "stream" else questions_cost(arguments)
    key = " ".join(
        [
            arguments.command,
            arguments.size,
            arguments.scheme,
            *([f"{arguments.resolution} px"] if arguments.resolution else []),
        ]
    )
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept | {key: result}, indent=2, sort_keys=True) + "\n")
    print(key, json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

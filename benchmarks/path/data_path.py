"""JPEG to tensor: our preprocess stage against the Hugging Face SigLIP processor, interleaved in one run.

Run from the repository root: ``python -m benchmarks.path.data_path``. The processor does what it does for its users: PIL decodes, it resizes with
antialiased bicubic, rescales and normalises to float32. Ours ends at the uint8 tensor, because our graphs normalise inside. The
torchvision backend, the processor's default, is measured too where torchvision can be imported; it is not in our lock. (The committed
figures were taken with torchvision 0.28.0 on a search path of its own; its two compiled operators, which resizing does not use, were stubs.)
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import report
from benchmarks.material import DATA
from edge.inference.preprocess import Preprocessor, encode_jpeg
from edge.manifest import InputSpec

RESOLUTIONS = {"480p": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080)}
JPEG_QUALITY = 90
Encoded = bytes
Decode = Callable[[Encoded], Any]


def processors(size: int) -> dict[str, tuple[Decode, Decode]]:
    """By backend: the whole path of the Hugging Face processor, and its resized pixels alone (float32 [size, size, 3], 0..255)."""
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil  # noqa: PLC0415 - slow

    classes: dict[str, Any] = {"PIL": SiglipImageProcessorPil}
    try:
        import torchvision  # type: ignore[import-not-found]  # noqa: F401, PLC0415 - optional: decides the backend
        from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor  # noqa: PLC0415 - optional
    except (ImportError, RuntimeError):
        print("torchvision cannot be imported: only the PIL backend of the processor is measured")
    else:
        classes["torchvision"] = SiglipImageProcessor
    return {name: _paths(kind, size) for name, kind in classes.items()}


def _paths(kind: Any, size: int) -> tuple[Decode, Decode]:  # noqa: ANN401 - transformers has no types
    shape = {"height": size, "width": size}
    whole, pixels = kind(size=shape), kind(size=shape, do_rescale=False, do_normalize=False)

    def run(processor: Any, encoded: bytes) -> Any:  # noqa: ANN401 - transformers has no types
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        return processor(image, return_tensors="np")["pixel_values"][0]

    return (
        lambda encoded: run(whole, encoded),
        lambda encoded: np.asarray(run(pixels, encoded), np.float32).transpose(1, 2, 0),
    )


def pictures(width: int, height: int, count: int) -> tuple[list[bytes], str]:
    """Photographs of machine parts at a camera's size where EDGE_DATA has them, else textured noise; and which it was."""
    files = sorted((DATA / "bsdata_ballscrew" / "open" / "images").glob("*.jpg"))[:count]
    if files:
        opened = [Image.open(file).convert("RGB") for file in files]
        origin = "bsdata_ballscrew photographs"
    else:
        rng = np.random.default_rng(0)
        opened = [Image.fromarray(rng.integers(0, 255, (45, 80, 3), np.uint8)) for _ in range(count)]
        origin = "synthetic textures"
    resized = [image.resize((width, height), Image.Resampling.BICUBIC) for image in opened]
    return [encode_jpeg(np.asarray(image), JPEG_QUALITY) for image in resized], origin


def time_pair(first: Decode, second: Decode, encoded: list[bytes], rounds: int) -> NDArray[np.float64]:
    """Processor time in ms of two paths, alternating which goes first: float64 [2, rounds * pictures].

    Time of the thread and not of the wall, so that the neighbours of a shared machine do not decide the ratio.
    """
    timings: list[tuple[float, float]] = []
    for index in range(rounds * len(encoded)):
        picture, took = encoded[index % len(encoded)], [0.0, 0.0]
        for which in (0, 1) if index % 2 == 0 else (1, 0):
            start = time.thread_time()
            (first, second)[which](picture)
            took[which] = (time.thread_time() - start) * 1e3
        timings.append((took[0], took[1]))
    return np.array(timings[len(encoded) :]).T


def main() -> None:
    """Measure and write results/data_path.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs="+", default=[224, 160], help="target width and height, px")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    origin = ""
    for size in options.size:
        spec = InputSpec(name="frame", width=size, height=size, resize="stretch")
        ours = Preprocessor(spec).prepare
        for backend, (whole, pixels) in processors(size).items():
            for name, (width, height) in RESOLUTIONS.items():
                encoded, origin = pictures(width, height, 6)
                theirs_ms, ours_ms = time_pair(whole, ours, encoded, options.rounds)
                errors = [float(np.abs(ours(picture)[0] - pixels(picture)).mean()) for picture in encoded]
                ratio = theirs_ms / ours_ms
                rows.append(
                    {
                        "frame": name,
                        "JPEG kB": round(float(np.mean([len(picture) for picture in encoded])) / 1000),
                        "tensor px": size,
                        "processor backend": backend,
                        "processor p50 CPU ms": float(np.median(theirs_ms)),
                        "ours p50 CPU ms": float(np.median(ours_ms)),
                        "ours p95 CPU ms": report.percentile(list(ours_ms), 95),
                        "times faster (median of pairs)": float(np.median(ratio)),
                        "quartiles": f"{np.percentile(ratio, 25):.1f}..{np.percentile(ratio, 75):.1f}",
                        "mean error /255": float(np.mean(errors)),
                        "worst picture": max(errors),
                    }
                )
    report.write(
        "data_path",
        title="JPEG to tensor against the Hugging Face SigLIP processor",
        rows=rows,
        notes=[
            f"Pictures: {origin}, resized to the frame size, JPEG quality {JPEG_QUALITY}, 4:2:0.",
            "Processor time of one thread; every pair is measured back to back, the order alternating.",
        ],
    )


if __name__ == "__main__":
    report.run(main)

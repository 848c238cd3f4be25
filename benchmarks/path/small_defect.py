"""A spot of 12 px in a full HD frame: how well it is found in the whole frame, and in tiles, by one way of fitting a head on EfficientNet-Lite0.

Run from the repository root: ``python -m benchmarks.path.small_defect``. Surfaces are photographs of ball screws (EDGE_DATA), scaled to full HD, some with a
dark spot drawn in. The same ridge regression on the same features of the same tower is fitted on whole frames, and on tiles of the same frames.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import material, report
from edge.inference.preprocess import Preprocessor, decode_rgb
from edge.manifest import InputSpec
from edge.region import WHOLE, Grid, Region
from exporters.towers import lite0

SIZE = (1920, 1080)
SPOT_PX = 12
DARKER = 60.0  # grey levels in its middle
GRID = Region("web", grid=Grid(8, 4, 0.1))
SPEC = InputSpec(name="frame", width=224, height=224, resize="stretch")
LAYER = 5  # the end of stride 8
RIDGE = 1.0
BATCH = 16

Picture = NDArray[np.uint8]


def main() -> None:
    """Measure and write results/small_defect.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit-frames", type=int, default=120, help="frames to fit on, half of them with a spot")
    parser.add_argument("--test-frames", type=int, default=40, help="frames to test on, half of them with a spot")
    options = parser.parse_args()
    files = normal_photographs(material.DATA / "bsdata_ballscrew" / "open")
    if len(files) < options.fit_frames + options.test_frames:
        raise SystemExit("the photographs of ball screws are not there: set EDGE_DATA")
    half = len(files) // 2  # in order of time: those that are tested show other days than those that were fitted on
    to_fit = chosen(files[:half], options.fit_frames)
    to_test = chosen(files[half:], options.test_frames)
    rows = [measured("whole frame", whole, to_fit, to_test), measured("8 x 4 tiles", tiles, to_fit, to_test)]
    report.write(
        "small_defect",
        title=f"A spot of {SPOT_PX} px in a frame of 1920x1080: whole frame against tiles",
        rows=rows,
        notes=[
            f"{len(to_fit)} frames to fit on and {len(to_test)} of later days to test on, half of each with one dark spot, {DARKER:g} grey levels in its middle.",
            f"EfficientNet-Lite0, block {LAYER}, mean, spread and extremes of each channel, ridge regression; a frame's score is the highest of its tiles.",
            "Frames are drawn on, not photographed with faults: it shows what pressing a frame into 224x224 px loses, not what a plant will find.",
        ],
    )


def normal_photographs(folder: Path) -> list[Path]:
    """Those without any wear, by time; none where the set is not there."""
    if not (folder / "labels.csv").exists():
        return []
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        names = sorted(row["file"] for row in csv.DictReader(file) if row["label"] == "normal")
    return [folder / "images" / name for name in names]


def chosen(files: Sequence[Path], count: int) -> list[Path]:
    """So many of some files, evenly spread."""
    return [files[number * len(files) // count] for number in range(count)]


def frame_of(path: Path, seed: int, *, faulty: bool) -> tuple[Picture, tuple[int, int]]:
    """A photograph at full HD, with a spot or without one; and where the spot is, or would be, px."""
    rgb = np.asarray(cv2.resize(decode_rgb(path.read_bytes()), SIZE, interpolation=cv2.INTER_CUBIC), np.uint8)
    rng = np.random.default_rng(seed)
    across, down = (int(rng.integers(SPOT_PX, side - SPOT_PX)) for side in SIZE)
    if not faulty:
        return rgb, (across, down)
    mask = np.zeros(rgb.shape[:2], np.float32)
    cv2.circle(mask, (across, down), SPOT_PX // 2, 1.0, cv2.FILLED)
    mask = np.asarray(cv2.GaussianBlur(mask, (3, 3), 0), np.float32)
    return np.clip(rgb - DARKER * mask[..., None], 0, 255).astype(np.uint8), (across, down)


def whole(stage: Preprocessor, rgb: Picture, at: tuple[int, int] | None) -> list[Picture]:
    """What is looked at of a frame: all of it at once."""
    del at
    return [stage.fit(rgb)]


def tiles(stage: Preprocessor, rgb: Picture, at: tuple[int, int] | None) -> list[Picture]:
    """Every tile; to fit on, one that shows the place."""
    if at is None:
        return [stage.fit(rgb, tile) for tile in GRID.tiles]

    def inside(tile: Region) -> bool:
        left, top, right, bottom = tile.pixels(*SIZE)
        return left + SPOT_PX <= at[0] <= right - SPOT_PX and top + SPOT_PX <= at[1] <= bottom - SPOT_PX

    return [stage.fit(rgb, tile) for tile in GRID.tiles if inside(tile)][:1]


Look = Callable[[Preprocessor, Picture, "tuple[int, int] | None"], list[Picture]]


def measured(name: str, look: Look, to_fit: Sequence[Path], to_test: Sequence[Path]) -> dict[str, object]:
    """One row: a head fitted on what is looked at, and the AUROC of frames."""
    stage = Preprocessor(SPEC, regions=(WHOLE, GRID))
    tower = lite0.backbone()
    crops, truth = [], []
    for number, path in enumerate(to_fit):
        rgb, at = frame_of(path, number, faulty=number % 2 == 1)
        found = look(stage, rgb, at)
        crops += found
        truth += [number % 2] * len(found)
    head = ridge(features(tower, crops), np.array(truth))
    scores: list[float] = []
    for number, path in enumerate(to_test):
        rgb, _ = frame_of(path, 10_000 + number, faulty=number % 2 == 1)
        scores.append(float(head(features(tower, look(stage, rgb, None))).max()))
    return {"looked at": name, "fitted on": len(crops), "frames": len(to_test), "AUROC": round(auroc(scores), 3)}


def features(tower: torch.nn.Module, crops: Sequence[Picture]) -> NDArray[np.float64]:
    """Mean, spread and extremes of each channel of one layer, a row each."""
    found = []
    for begin in range(0, len(crops), BATCH):
        pixels = torch.from_numpy(np.concatenate(crops[begin : begin + BATCH])).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (lite0.MEAN, lite0.STD))
        with torch.inference_mode():
            state = tower.states((pixels - mean) / std, LAYER)[-1].flatten(2)  # type: ignore[operator] # a module's method
        parts = (state.mean(dim=2), state.std(dim=2), state.amax(dim=2), state.amin(dim=2))
        found.append(torch.cat(parts, dim=1).double().numpy())
    return np.concatenate(found)


def ridge(rows: NDArray[np.float64], truth: NDArray[np.int64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A linear head by ridge regression on scaled features."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    scaled = (rows - mean) / spread
    weights = np.linalg.solve(scaled.T @ scaled + RIDGE * len(rows) * np.eye(rows.shape[1]), scaled.T @ (truth - 0.5))
    return lambda more: np.asarray((more - mean) / spread @ weights, np.float64)


def auroc(scores: Sequence[float]) -> float:
    """Share of pairs of a faulty frame (odd) and a normal one that are in order."""
    pairs = [(one, other) for one in scores[1::2] for other in scores[0::2]]
    return sum((one > other) + 0.5 * (one == other) for one, other in pairs) / len(pairs)


if __name__ == "__main__":
    report.run(main)

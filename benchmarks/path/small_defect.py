"""A spot of 12 px in a full HD frame: how well it is found in the whole frame, and in tiles, by the toolchain's own head on EfficientNet-Lite0.

Run from the repository root: ``python -m benchmarks.path.small_defect``. Surfaces are photographs of ball screws (EDGE_DATA), scaled to full HD, some with a
dark spot drawn in. The linear head of `exporters.fit.linear` (`hidden = 0` in a recipe), with masks, on the same layer of the same tower is fitted on whole
frames, and on tiles of the same frames.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import material, report
from edge.inference.preprocess import Preprocessor, decode_rgb
from edge.manifest import InputSpec
from edge.region import WHOLE, Grid, Region
from exporters.fit import linear
from exporters.fit.head import FLIPS, flipped
from exporters.recipe import Head
from exporters.towers import lite0
from exporters.towers.efficientnet import EfficientNet

SIZE = (1920, 1080)
SPOT_PX = 12
DARKER = 60.0  # grey levels in its middle
GRID = Region("web", grid=Grid(8, 4, 0.1))
SPEC = InputSpec(name="frame", width=224, height=224, resize="stretch")
LAYER = 5  # the end of stride 8
NORMAL_TILES = 4  # of each frame without a spot to fit on: a user who records tiles has all of them
BATCH = 4  # fits the cache; 16 take four times as long each

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame: its pixels, and its spot in white on black; black alone where it has none."""

    rgb: Picture
    mask: Picture

    @property
    def faulty(self) -> bool:
        """Whether it has a spot."""
        return bool(self.mask.any())


def main() -> None:
    """Measure and write results/small_defect.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit-frames", type=int, default=120, help="frames to fit on, half of them with a spot")
    parser.add_argument("--test-frames", type=int, default=40, help="frames to test on, half of them with a spot")
    parser.add_argument(
        "--within", action="store_true", help="test on the last third of the frames to fit on: to choose how to fit"
    )
    options = parser.parse_args()
    files = normal_photographs(material.DATA / "bsdata_ballscrew" / "open")
    if len(files) < options.fit_frames + options.test_frames:
        raise SystemExit("the photographs of ball screws are not there: set EDGE_DATA")
    half = len(files) // 2  # in order of time: those that are tested show other days than those that were fitted on
    to_fit = chosen(files[:half], options.fit_frames)
    to_test = chosen(files[half:], options.test_frames)
    if options.within:
        to_fit, to_test = to_fit[: 2 * options.fit_frames // 3], to_fit[2 * options.fit_frames // 3 :]
    rows = [measured("whole frame", whole, to_fit, to_test), measured("8 x 4 tiles", tiles, to_fit, to_test)]
    if options.within:
        raise SystemExit(f"chosen by: {rows}")
    report.write(
        "small_defect",
        title=f"A spot of {SPOT_PX} px in a frame of 1920x1080: whole frame against tiles",
        rows=rows,
        notes=[
            f"{len(to_fit)} frames to fit on and {len(to_test)} of later days to test on, half of each with one dark spot, {DARKER:g} grey levels in its middle.",
            f"EfficientNet-Lite0, block {LAYER}, and the toolchain's linear head with masks; a frame's score is the highest of its tiles.",
            f"Tiles to fit on: the one with the spot, and {NORMAL_TILES} of each frame without one. How to fit was chosen within the frames to fit on (`--within`).",
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


def frame_of(path: Path, seed: int, *, faulty: bool) -> Shown:
    """A photograph at full HD, with a spot or without one."""
    rgb = np.asarray(cv2.resize(decode_rgb(path.read_bytes()), SIZE, interpolation=cv2.INTER_CUBIC), np.uint8)
    rng = np.random.default_rng(seed)
    across, down = (int(rng.integers(SPOT_PX, side - SPOT_PX)) for side in SIZE)
    mask: Picture = np.zeros(rgb.shape[:2], np.uint8)
    if not faulty:
        return Shown(rgb, mask)
    cv2.circle(mask, (across, down), SPOT_PX // 2, 255, cv2.FILLED)
    depth = cv2.GaussianBlur(mask, (3, 3), 0).astype(np.float32) * np.float32(DARKER / 255)
    return Shown(np.clip(rgb - depth[..., None], 0, 255).astype(np.uint8), mask)


def whole(shown: Shown, seed: int) -> list[Region]:
    """What is fitted on of a frame: all of it at once."""
    del shown, seed
    return [WHOLE]


def tiles(shown: Shown, seed: int) -> list[Region]:
    """The tile that shows the whole spot; some of a frame without one."""
    if not shown.faulty:
        picked = np.random.default_rng(seed).choice(len(GRID.tiles), NORMAL_TILES, replace=False)
        return [GRID.tiles[number] for number in picked]
    left, top, width, height = cv2.boundingRect(shown.mask)

    def inside(tile: Region) -> bool:
        first, upper, right, bottom = tile.pixels(*SIZE)
        return bool(first < left and upper < top and left + width < right and top + height < bottom)

    return [tile for tile in GRID.tiles if inside(tile)][:1]


Look = Callable[[Shown, int], list[Region]]


def measured(name: str, look: Look, to_fit: Sequence[Path], to_test: Sequence[Path]) -> dict[str, object]:
    """One row: a head fitted on what is looked at, and the AUROC of frames."""
    stage = Preprocessor(SPEC, regions=(WHOLE, GRID))
    tower = lite0.backbone().to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it
    crops, masks, truth = [], [], []
    for number, path in enumerate(to_fit):
        shown = frame_of(path, number, faulty=number % 2 == 1)
        regions = look(shown, number)
        crops += [stage.fit(shown.rgb, region)[0] for region in regions]
        masks += [mask_of(shown.mask, region) for region in regions]
        truth += [shown.faulty] * len(regions)
    head = linear.fit(
        [list(features(tower, flipped(np.stack(crops), axes))) for axes in FLIPS],
        np.array(truth)[:, None],
        np.stack(masks),
        Head(kind="fitted", layers=(0.3,), hidden=0),
    )
    scores: list[float] = []
    shows = (WHOLE,) if look is whole else GRID.tiles
    for number, path in enumerate(to_test):
        shown = frame_of(path, 10_000 + number, faulty=number % 2 == 1)
        seen = np.concatenate([stage.fit(shown.rgb, region) for region in shows])
        with torch.inference_mode():
            scores.append(float(head(*(part.float() for part in features(tower, seen))).max()))
    return {"looked at": name, "fitted on": len(crops), "frames": len(to_test), "AUROC": round(auroc(scores), 3)}


def mask_of(mask: Picture, region: Region) -> Picture:
    """A region of a mask at the graph's size: white wherever the spot touches a pixel."""
    left, top, right, bottom = region.pixels(*SIZE)
    shrunk = cv2.resize(mask[top:bottom, left:right], (SPEC.width, SPEC.height), interpolation=cv2.INTER_AREA)
    return np.where(shrunk > 0, 255, 0).astype(np.uint8)


def features(tower: EfficientNet, crops: Picture) -> tuple[torch.Tensor, torch.Tensor]:
    """As a model gives them to a head: pooled, and the patches of one layer; float16."""
    patches = torch.cat(list(_patches(tower, crops)))
    return patches.float().mean(dim=1).half(), patches


def _patches(tower: EfficientNet, crops: Picture) -> Iterator[torch.Tensor]:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (lite0.MEAN, lite0.STD))
    for begin in range(0, len(crops), BATCH):
        pixels = torch.from_numpy(crops[begin : begin + BATCH]).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            yield tower.states((pixels - mean) / std, LAYER)[-1].flatten(2).transpose(1, 2).half()


def auroc(scores: Sequence[float]) -> float:
    """Share of pairs of a faulty frame (odd) and a normal one that are in order."""
    pairs = [(one, other) for one in scores[1::2] for other in scores[0::2]]
    return sum((one > other) + 0.5 * (one == other) for one, other in pairs) / len(pairs)


if __name__ == "__main__":
    report.run(main)

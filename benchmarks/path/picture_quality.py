"""Picture quality on real frames: how often good frames are called bad, and how soon frozen, dark, blurred and covered ones are noticed.

Run from the repository root: ``python -m benchmarks.path.picture_quality``. Frames go the daemon's own way: encoded, decoded, fitted, looked at. What spoils them
is applied at full size before the encoder, as a lens would.
"""

from __future__ import annotations

import argparse
import copy
import csv
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.material import DATA
from edge.frame import Quality, Trouble
from edge.inference.picture_quality import REMEMBERED, PictureMonitor
from edge.inference.preprocess import Preprocessor, decode_rgb, encode_jpeg
from edge.manifest import InputSpec
from edge.site.inputs import PictureSettings
from examples.line.line import Line, LineSettings

Rgb = NDArray[np.uint8]
SIZE = 224
FRAME_NS = 40_000_000
LEARN_NS = 100_000_000  # frames of still-picture sets are given so far apart
STALE_NS = 10**12
SPOILED_FRAMES = 8
CALM = (
    "scratch",
    "crack",
    "dent",
    "rust",
    "oil_leak",
    "missing_bolt",
    "misaligned_part",
    "foreign_object",
)  # not of the camera
PREPARE = Preprocessor(InputSpec(name="frame", width=SIZE, height=SIZE, resize="stretch")).prepare


def clip_frames(limit: int | None = None) -> Iterator[bytes]:
    """The bottle clip, 640x360, as a camera that sends JPEG would."""
    video = cv2.VideoCapture(str(DATA / "intel_sample_clips" / "open" / "bottle-detection.mp4"))
    count = 0
    while limit is None or count < limit:
        found, bgr = video.read()
        if not found:
            return
        count += 1
        yield encode_jpeg(np.asarray(bgr, np.uint8)[..., ::-1], 85)


def spindle_frames() -> Iterator[bytes]:
    """The ball screw, position after position in the order of time, as it came off the camera."""
    folder = DATA / "bsdata_ballscrew" / "open"
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["sequence"], int(row["t_index"] or 0)))
    for row in rows:
        yield (folder / "images" / row["file"]).read_bytes()


def shuffled(folder: Path) -> Iterator[bytes]:
    """A set of stills in random order: the worst case, since every frame shows another thing."""
    files = sorted(folder.glob("*/*.jpg"))
    for index in np.random.default_rng(0).permutation(len(files)):
        yield files[index].read_bytes()


def line_frames(frames: int = 600) -> Iterator[bytes]:
    """The simulated line with every fault but those of the camera."""
    for frame in Line(LineSettings(seed=11, faults=CALM), frames):
        yield frame.jpeg


SOURCES: dict[str, Callable[[], Iterator[bytes]]] = {
    "bottle clip (video)": clip_frames,
    "ball screw (fixed camera, stills)": spindle_frames,
    "steel strip (another place each frame)": lambda: shuffled(DATA / "xsdd_hot_rolled_steel" / "open"),
    "magnetic tiles (105 to 620 px, six exposures, shuffled)": lambda: shuffled(DATA / "magnetic_tile" / "open"),
    "simulated line": line_frames,
}
REAL = 4  # of the sources above, the first so many are real


def blur(rgb: Rgb, sigma_px: float) -> Rgb:
    """Out of focus; sigma counts for a picture 640 px wide."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px * rgb.shape[1] / 640), np.uint8)


def dark(rgb: Rgb, gain: float) -> Rgb:
    """Light lost."""
    return (rgb * gain).astype(np.uint8)


def cover(rgb: Rgb, share: float, rng: np.random.Generator, *, hand: bool) -> Rgb:
    """A share of the picture covered from one side: by something black and sharp, or by something like a hand: soft edge, shaded, noisy."""
    rows, columns = rgb.shape[:2]
    side = int(rng.integers(4))
    along = np.linspace(0.0, 1.0, rows if side < 2 else columns, dtype=np.float32)
    inside = (along if side % 2 else 1.0 - along) > 1.0 - share
    mask = np.broadcast_to(inside[:, None] if side < 2 else inside[None, :], (rows, columns)).astype(np.float32)
    if not hand:
        return np.asarray(np.where(mask[..., None] > 0, int(rng.integers(8)), rgb), np.uint8)
    mask = cv2.GaussianBlur(mask, (0, 0), columns / 60)[..., None]
    shade = cv2.resize(rng.normal(1.0, 0.25, (4, 5)).astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
    skin = np.array([70, 48, 40], np.float32) * rng.uniform(0.3, 2.2) * shade[..., None]
    noise = rng.normal(0.0, 2.0, (rows, columns, 1))
    return np.asarray(np.clip(rgb * (1 - mask) + (skin + noise) * mask, 0, 255), np.uint8)


Spoil = Callable[[Rgb, np.random.Generator], Rgb]


def _blurring(sigma_px: float) -> Spoil:
    return lambda rgb, _: blur(rgb, sigma_px)


def _covering(percent: int, *, hand: bool) -> Spoil:
    return lambda rgb, rng: cover(rgb, percent / 100, rng, hand=hand)


SPOILS: dict[str, Spoil] = {
    "dark, light x 0.05": lambda rgb, _: dark(rgb, 0.05),
    **{f"blur, sigma {sigma} px": _blurring(sigma) for sigma in (2, 3, 4, 6)},
    **{f"black cover, {share} %": _covering(share, hand=False) for share in (25, 50, 75)},
    **{f"hand-like cover, {share} %": _covering(share, hand=True) for share in (25, 50, 75)},
}


def trouble_of(lens: PictureMonitor, now_ns: int) -> set[Trouble]:
    """What stands."""
    return {trouble for trouble in Trouble if lens.evidence(trouble, now_ns).score == 1.0}


def false_alarms(frames: Sequence[bytes]) -> tuple[int, Counter[str], Counter[str], list[float]]:
    """Good frames through a new monitor: frames judged after learning, those called bad by trouble one by one and after n of m, and ms each took."""
    alone = PictureMonitor(PictureSettings(n_of_m=(1, 1)), STALE_NS)
    lens = PictureMonitor(PictureSettings(), STALE_NS)
    single: Counter[str] = Counter()
    standing: Counter[str] = Counter()
    took_ms = []
    for index, encoded in enumerate(frames):
        tensor, now_ns = PREPARE(encoded), index * LEARN_NS
        start_ns = time.thread_time_ns()
        lens.assess(tensor, now_ns)
        took_ms.append((time.thread_time_ns() - start_ns) / 1e6)
        alone.assess(tensor, now_ns)
        single.update(trouble_of(alone, now_ns))
        standing.update(trouble_of(lens, now_ns))
    return max(0, len(frames) - REMEMBERED), single, standing, took_ms


def learned(frames: Sequence[bytes]) -> PictureMonitor:
    """A monitor that has learnt from enough of these frames."""
    lens = PictureMonitor(PictureSettings(), STALE_NS)
    for index in range(REMEMBERED + 1):
        lens.assess(PREPARE(frames[index % len(frames)]), index * LEARN_NS)
    return lens


def noticed(lens: PictureMonitor, frames: Sequence[bytes], spoil: Spoil, trials: int) -> tuple[list[int], Counter[str]]:
    """How many frames until a spoiled stream is noticed, for the trials in which it is, and as what."""
    delays: list[int] = []
    called: Counter[str] = Counter()
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        start = REMEMBERED + trial * max(1, (len(frames) - REMEMBERED - SPOILED_FRAMES) // trials)
        copied, seed = copy.deepcopy(lens), int(rng.integers(2**32))
        for count in range(1, SPOILED_FRAMES + 1):
            rgb = decode_rgb(frames[(start + count) % len(frames)])
            spoiled = spoil(rgb, np.random.default_rng(seed))  # the same thing in front of every frame of a trial
            now_ns = REMEMBERED * LEARN_NS * 2 + count * FRAME_NS
            if copied.assess(PREPARE(encode_jpeg(spoiled, 85)), now_ns) is not Quality.GOOD:
                delays.append(count)
                called.update(trouble_of(copied, now_ns))
                break
    return delays, called


def freeze_s(lens: PictureMonitor, encoded: bytes) -> float:
    """Seconds of one repeated picture at 25 frames a second until it is noticed."""
    copied, start_ns = copy.deepcopy(lens), REMEMBERED * LEARN_NS * 2
    tensor = PREPARE(encoded)
    for count in range(1000):
        if copied.assess(tensor, start_ns + count * FRAME_NS) is not Quality.GOOD:
            return count * FRAME_NS / 1e9
    return float("inf")


def main() -> None:
    """Measure and write results/lens.{json,md} and results/lens_detection.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    trials = parser.parse_args().trials
    rows: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    real, real_bad = 0, 0
    for number, (name, source) in enumerate(SOURCES.items()):
        frames = list(source())
        judged, single, standing, took_ms = false_alarms(frames)
        real, real_bad = real + judged * (number < REAL), real_bad + standing.total() * (number < REAL)
        rows.append(
            {
                "frames": name,
                "judged": judged,
                "called bad, one by one": _counted(single),
                "called bad, 3 of 5": _counted(standing),
                "per 10,000": round(standing.total() / judged * 10_000, 1),
                "p50 CPU ms": statistics.median(took_ms),
                "p99 CPU ms": report.percentile(took_ms, 99),
            }
        )
        lens = learned(frames)
        row: dict[str, object] = {"frames": name, "freeze": f"{freeze_s(lens, frames[-1]):.2f} s"}
        for what, spoil in SPOILS.items():
            delays, called = noticed(lens, frames, spoil, trials)
            row[what] = (
                f"{100 * len(delays) // trials} % in {statistics.median(delays):g} ({', '.join(called)})"
                if delays
                else "0 %"
            )
        found.append(row)
    report.write(
        "lens",
        title="Good frames called bad",
        rows=rows,
        notes=[
            f"Real frames together: {real_bad} of {real} called bad ({real_bad / real * 10_000:.1f} per 10,000).",
            f"Default settings, {SIZE} px, the first {REMEMBERED} frames are learned from.",
            "The tiles are no stream of one camera: sizes from 105 to 620 px alternate, and enlarging a small picture blurs it.",
            "Processor time of one thread.",
        ],
    )
    report.write(
        "lens_detection",
        title="Spoiled frames noticed",
        rows=[{"spoiled": what} | {str(row["frames"]).partition(" (")[0]: row[what] for row in found} for what in ("freeze", *SPOILS)],
        notes=[
            f"{trials} trials each: share noticed within {SPOILED_FRAMES} frames, median of the frames that it took, and as what.",
            "Three frames are the least, because n_of_m is 3 of 5. Freeze: time until noticed at 25 frames a second.",
            "Sigma counts for a picture 640 px wide. Covers come from a random side; a hand has a soft edge, shade and noise.",
        ],
    )  # fmt: skip


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "0"


if __name__ == "__main__":
    report.run(main)

"""A real clip as a camera for 100,000 frames: does the daemon's memory grow, and is every frame accounted for.

Run from the repository root: ``python -m benchmarks.path.soak`` (55 minutes), or with ``--speedup 8``. The clip is bottle-detection.mp4 of
intel_sample_clips (30 fps), encoded to JPEG once and looped through Mosquitto into the daemon; its resident memory is read every second.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import material, report
from benchmarks.bars import RESULTS
from benchmarks.graphs import VitShape, vit_graph
from edge.inference.preprocess import encode_jpeg
from exporters.pack.drawing import open_matplotlib
from tests.stand import daemon as rig

CLIP = material.DATA / "intel_sample_clips" / "open" / "bottle-detection.mp4"
CAMERA_HZ = 30.0
SHAPES = {"small": VitShape(size=96, patch=16, dim=96, depth=3, heads=3), "ti-112": VitShape(112, 16, 192, 12, 3)}
WARM_S = 20.0  # caches and heaps fill; growth is judged after it
Samples = list[tuple[float, float]]


def main() -> None:
    """Measure and write results/soak.{json,md,png}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--speedup", type=float, default=1.0, help="times the camera's 30 fps")
    parser.add_argument("--graph", default="small", choices=sorted(SHAPES))
    options = parser.parse_args()
    frames = clip_frames(CLIP)
    shape = SHAPES[options.graph]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        material.write_graph_bundle(path, vit_graph(shape, 4), size=shape.size, faults=4, budget_ms=40.0)
        site = {"publish": {"flags": "change", "flag_repeat_s": 1.0, "heartbeat_s": 1.0}}
        with rig.bench(path, site=site) as (broker, daemon, ear):
            time.sleep(1.0)  # both connections are up
            before = ear.heartbeat()["cameras"][rig.CAMERA]
            samples = soak(frames, options.frames, CAMERA_HZ * options.speedup, broker, daemon)
            time.sleep(1.5)
            camera = ear.heartbeat()["cameras"][rig.CAMERA]
            beats = [beat.document()["cameras"][rig.CAMERA]["latency"] for beat in ear.on("heartbeat")]
    grown, slope = growth(samples)
    drops = {reason: count for reason, count in camera["dropped"].items() if count}
    p99s = [beat["p99_ms"] for beat in beats if beat["count"]]
    row = {
        "frames sent": options.frames,
        "received": camera["received"] - before["received"],
        "verdicts": camera["verdicts"] - before["verdicts"],
        "drops": ", ".join(f"{reason} {count}" for reason, count in drops.items()) or "0",
        "unaccounted": options.frames - (camera["verdicts"] - before["verdicts"]) - sum(drops.values()),
        "misses": camera["misses"],
        "minutes": round((samples[-1][0] - samples[0][0]) / 60, 1),
        "fps": CAMERA_HZ * options.speedup,
        "p99 of each second: median, worst ms": f"{np.median(p99s):.1f}, {max(p99s):.1f}",
        "RSS after warm-up MiB": round(warm(samples)[0, 1], 1),
        "RSS at the end MiB": round(samples[-1][1], 1),
        "RSS most MiB": round(max(rss for _, rss in samples), 1),
        "grown MiB": round(grown, 2),
        "slope KiB per 1,000 frames": round(slope * 1024 * 1000 / (CAMERA_HZ * options.speedup), 3),
    }
    plot(samples, RESULTS / "soak.png", f"{options.frames} frames at {row['fps']:g} fps")
    report.write(
        "soak",
        title="Soak: bottle-detection.mp4 as a camera, looped",
        rows=[row],
        notes=[
            f"{len(frames)} frames of 640x360 (intel_sample_clips, CC BY 4.0, Intel Corporation), about {np.mean([len(frame) for frame in frames]) / 1000:.0f} kB JPEG each.",
            "Grown: the fitted line's rise from the end of the warm-up to the end. ![memory over time](soak.png)",
        ],
    )


def clip_frames(path: Path) -> list[bytes]:
    """Every frame of a video as JPEG, quality 85."""
    video = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, bgr = video.read()
        if not there:
            break
        frames.append(encode_jpeg(np.asarray(bgr[:, :, ::-1], np.uint8), 85))
    if not frames:
        raise SystemExit(f"{path} cannot be read: set EDGE_DATA to the folder with the real sets")
    return frames


def soak(frames: Sequence[bytes], count: int, hz: float, broker: rig.Broker, daemon: rig.Daemon) -> Samples:
    """Send so many frames; returns (s, MiB) about once a second."""
    samples: Samples = []
    sender = rig.Sender(broker.port)
    began = time.monotonic()

    def act(index: int) -> None:
        sender.publish(rig.FRAME_TOPIC, frames[index % len(frames)])
        if index % round(hz) == 0:
            samples.append((time.monotonic() - began, daemon.rss_mib()))
            if index % round(60 * hz) == 0:
                print(f"{index} frames, {samples[-1][1]:.1f} MiB", flush=True)

    rig.pace(count, hz, act)
    samples.append((time.monotonic() - began, daemon.rss_mib()))
    sender.close()
    return samples


def warm(samples: Samples) -> NDArray[np.float64]:
    """The samples after the warm-up, or the second half of a run that is shorter: float64 [N, 2]."""
    late = [item for item in samples if item[0] >= WARM_S]
    return np.array(late if len(late) > 10 else samples[len(samples) // 2 :])


def growth(samples: Samples) -> tuple[float, float]:
    """Rise of the line fitted to the samples after the warm-up, MiB, and its slope, MiB/s."""
    times, rss_mib = warm(samples).T
    slope = float(np.polyfit(times, rss_mib, 1)[0])
    return slope * float(times[-1] - times[0]), slope


def plot(samples: Samples, path: Path, title: str) -> None:
    """Memory over time as a picture."""
    open_matplotlib()
    import matplotlib.pyplot as plt  # noqa: PLC0415 - after the measurement: it is heavy

    path.parent.mkdir(exist_ok=True)
    times, rss_mib = np.array(samples).T
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    axes.plot(times / 60, rss_mib)
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", title=title, ylim=(0, max(rss_mib) * 1.15))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    report.run(main)

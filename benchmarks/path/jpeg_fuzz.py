"""Damaged JPEGs that are judged all the same: how many of 10,000, by coding and by what was done to them, with what helps against it.

Run from the repository root: ``python -m benchmarks.path.jpeg_fuzz``. A camera watches the simulated line; each trial damages one frame's bytes and gives
it to the daemon's own stages after sound frames. It counts as damaged if more than a tenth of the picture is visibly another.
"""

from __future__ import annotations

import argparse
import copy
import zlib
from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from edge.errors import RejectedInput
from edge.inference.picture_quality import PictureMonitor
from edge.inference.preprocess import Preprocessor, decode_rgb
from edge.intake.checksum import verify
from edge.manifest import InputSpec
from edge.site.inputs import PictureSettings
from examples.line.line import Line, LineSettings

SIDE = 192
BLOCK = 8  # px of the tensor: damage is counted in such squares
VISIBLE = 16.0  # grey levels of a square's mean
DAMAGED_SHARE = 0.1  # of the squares
SOUND_FRAMES = 12
FRAME_NS = 40_000_000
HEADER_BYTES = 640
STAGE = Preprocessor(InputSpec(name="frame", width=SIDE, height=SIDE, resize="stretch"))

Random = np.random.Generator


def flip_bits(encoded: bytes, rng: Random) -> bytes:
    """Single bits, anywhere."""
    data = bytearray(encoded)
    for _ in range(int(rng.choice([1, 1, 2, 4, 16]))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def overwrite(encoded: bytes, rng: Random) -> bytes:
    """Single bytes, anywhere."""
    data = bytearray(encoded)
    for _ in range(int(rng.choice([1, 2, 8]))):
        data[int(rng.integers(len(data)))] = int(rng.choice([0, 255, 0x7F, int(rng.integers(256))]))
    return bytes(data)


def header(encoded: bytes, rng: Random) -> bytes:
    """Single bytes of the header."""
    data = bytearray(encoded)
    for _ in range(int(rng.choice([1, 2, 4]))):
        data[int(rng.integers(2, HEADER_BYTES))] = int(rng.integers(256))
    return bytes(data)


def cut_out(encoded: bytes, rng: Random) -> bytes:
    """A piece lost, as with a packet."""
    start, length = int(rng.integers(HEADER_BYTES, len(encoded))), int(rng.choice([1, 16, 512, 1460, 4096]))
    return encoded[:start] + encoded[start + length :]


def blank(encoded: bytes, rng: Random) -> bytes:
    """A piece zeroed, as with a block of a disk."""
    start, length = int(rng.integers(HEADER_BYTES, len(encoded))), int(rng.choice([16, 512, 1460, 4096]))
    return encoded[:start] + bytes(len(encoded[start : start + length])) + encoded[start + length :]


def insert(encoded: bytes, rng: Random) -> bytes:
    """Foreign bytes in between."""
    start = int(rng.integers(HEADER_BYTES, len(encoded)))
    return encoded[:start] + rng.bytes(int(rng.choice([1, 16, 512]))) + encoded[start:]


def truncate(encoded: bytes, rng: Random) -> bytes:
    """Cut off, with an end marker put behind."""
    return encoded[: int(rng.integers(1, len(encoded)))] + b"\xff\xd9"


DAMAGES: dict[str, Callable[[bytes, Random], bytes]] = {
    "bits flipped": flip_bits,
    "bytes overwritten": overwrite,
    "header bytes": header,
    "piece cut out": cut_out,
    "piece zeroed": blank,
    "bytes inserted": insert,
    "cut off": truncate,
}
CODINGS = {
    "baseline": (),
    "restart markers": (cv2.IMWRITE_JPEG_RST_INTERVAL, 8),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
}


def encoded_as(rgb: NDArray[np.uint8], coding: str) -> bytes:
    """A frame as JPEG of quality 85."""
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85, *CODINGS[coding]])
    return data.tobytes()


def wrong_share(tensor: NDArray[np.uint8], sound: NDArray[np.uint8]) -> float:
    """Share of the picture, 0..1, that is visibly another."""
    change = np.abs(tensor.astype(np.int16) - sound.astype(np.int16))[0]
    squares = change.reshape(SIDE // BLOCK, BLOCK, SIDE // BLOCK, BLOCK, 3).mean(axis=(1, 3, 4))
    return float((squares > VISIBLE).mean())


def judged(lens: PictureMonitor, encoded: bytes) -> bool:
    """Whether the picture checks let a damaged frame be judged with quality good."""
    rgb, found = STAGE.decode(encoded)
    try:
        return (
            copy.deepcopy(lens).assess(STAGE.fit(rgb), SOUND_FRAMES * FRAME_NS, (found.width, found.height), found.head)
            == "good"
        )
    except RejectedInput:
        return False


def trials(coding: str, count: int, seed: int) -> Counter[str]:
    """Damage so many frames of one coding: how many are decoded without complaint though damaged, then judged, and judged with a checksum."""
    rng = np.random.default_rng(seed)
    pictures = [decode_rgb(frame.jpeg) for frame in Line(LineSettings(seed=7, faults=()), SOUND_FRAMES + 1)]
    frames = [encoded_as(rgb, coding) for rgb in pictures]
    lens = PictureMonitor(PictureSettings(), 10**12)
    for index, encoded in enumerate(frames[:-1]):
        rgb, found = STAGE.decode(encoded)
        lens.assess(STAGE.fit(rgb), index * FRAME_NS, (found.width, found.height), found.head)
    sent, sound = frames[-1], STAGE.prepare(frames[-1])
    told = (("crc32", f"{zlib.crc32(sent):08x}"),)
    counts: Counter[str] = Counter()
    names = list(DAMAGES)
    for number in range(count):
        spoiled = DAMAGES[names[number % len(names)]](sent, rng)
        try:
            tensor = STAGE.prepare(spoiled)
        except RejectedInput:
            counts["refused by the decoder"] += 1
            continue
        if wrong_share(tensor, sound) <= DAMAGED_SHARE:
            continue
        counts["decoded though damaged"] += 1
        counts["judged though damaged"] += judged(lens, spoiled)
        try:
            verify(spoiled, told, required=True)
            counts["judged with a checksum"] += 1
        except RejectedInput:
            pass
    return counts


def main() -> None:
    """Measure and write results/jpeg_fuzz.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=7000, help="of each coding")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    columns = ("refused by the decoder", "decoded though damaged", "judged though damaged", "judged with a checksum")
    rows: list[dict[str, object]] = []
    for coding in CODINGS:
        counts = trials(coding, options.trials, options.seed)
        scaled = {name: round(counts[name] * 10_000 / options.trials, 1) for name in columns}
        rows.append({"coding": coding, **scaled})
    report.write(
        "jpeg_fuzz",
        title="Damaged JPEGs that are judged all the same, per 10,000",
        rows=rows,
        notes=[
            f"{options.trials} damaged frames of each coding, seed {options.seed}; damaged: more than a tenth of the picture visibly another.",
            "Decoded though damaged is what a strict decoder alone lets pass; judged is what the checks of the picture itself leave of it.",
        ],
    )


if __name__ == "__main__":
    report.run(main)

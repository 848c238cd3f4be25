"""Real sets, from recipe to flags: ``python -m benchmarks.sets NAME ...`` builds a bundle, replays pictures through Mosquitto and says how good it is.

Figures are of all pictures of the half that is given, each judged by weights that never saw its group; with --test-data they are of that folder.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.sets import findings, layout, misses, sequence
from benchmarks.sets.catalogue import SETS, PictureSet
from benchmarks.sets.figures import BASELINES, Floats, trivial_features
from benchmarks.sets.pictures import Picture, in_folder, of_bundle, shuffled
from benchmarks.sets.recordings import RECORDINGS
from benchmarks.sets.replay import Replay, replay
from edge.bundle import Bundle, open_bundle
from exporters.proof.shares import exact_interval
from exporters.recipe import DATA_ROOT_DEFAULT, DATA_ROOT_VARIABLE, load_recipe

BOARD = "x86-64-avx2"
WORST = 12  # misses of each kind on the sheet
REPLAYED_MOST = 400  # pictures of a set's own test part; the rest adds no new kind of moment


def main() -> None:
    """Every set that is asked for, one after the other."""
    options = _parser().parse_args()
    for name in options.names:
        if name in RECORDINGS:
            with _data_root((options.data or _default_data()).resolve()):
                RECORDINGS[name](options.out / name)
        else:
            run(name, SETS[name], options)


def run(name: str, chosen: PictureSet, options: argparse.Namespace) -> None:
    """Lay out, build, judge, replay, report."""
    began = time.monotonic()
    data: Path = options.data or _default_data()
    source = data / chosen.folder / "open"
    if not source.is_dir():
        raise SystemExit(
            f"{source} is not there: set {DATA_ROOT_VARIABLE} to the folder with the real sets, or give --data"
        )
    out = options.out / name
    out.mkdir(parents=True, exist_ok=True)
    root = data.resolve()
    if chosen.lay_out is not None:
        root = (out / "material").resolve()
        _laid_out(chosen, source, root / chosen.folder / "open")
    with _data_root(root):
        bundle = open_bundle(options.bundle or _build(chosen, out))
        built_s = time.monotonic() - began
        known = of_bundle(bundle.path, [root, chosen.recipe_file.parent, bundle.path])
        shown = known if options.test_data is None else _elsewhere(chosen, options.test_data, root)
    tested = shuffled([picture for picture in shown if picture.tested])
    played = (
        tested if options.test_data else (tested or shuffled(shown))[:REPLAYED_MOST]
    )  # of a small set none is put aside
    heard = replay(bundle.path, [picture.file.read_bytes() for picture in played], options.fps)
    ids = [fault.id for fault in bundle.manifest.faults]
    if options.test_data is None:
        scores = np.array([picture.scores for picture in shown])
    else:
        kept = [(picture, one) for picture, one in zip(played, heard.judged, strict=True) if one is not None]
        shown = [picture for picture, _ in kept]
        scores = np.array([[one.scores[fault] for fault in ids] for _, one in kept])
    trivial = _trivial(bundle, shown, None if options.test_data is None else known)
    worst = findings.worst(bundle.manifest.faults, shown, scores, WORST)
    misses.draw(out / "worst_misses.png", worst)
    report.write(
        f"set_{name}",
        title=chosen.title,
        rows=findings.rows(bundle.manifest.faults, shown, scores, trivial),
        notes=[
            "Pictures of a folder that nothing was fitted on."
            if options.test_data
            else "Every picture judged by weights that never saw its group.",
            *chosen.reading,
            *_named_notes(bundle, shown, scores, trivial),
            *_fair_notes(chosen, bundle, shown, scores, trivial),
            *_path_notes(bundle, played, heard),
            *(f"NOT PROVEN: {doubt}." for doubt in bundle.manifest.proof.doubts),
            *_deletion_notes(bundle),
            f"Built in {built_s:.0f} s; all of it took {time.monotonic() - began:.0f} s.",
        ],
    )
    print(f"the worst misses: {out / 'worst_misses.png'}; the bundle and its report: {bundle.path}")
    if chosen.over_time:
        folder = options.test_data or source
        tested_groups = None if options.test_data else {picture.group for picture in known if picture.tested}
        _over_time(name, bundle, folder, tested_groups, options.fps)


def _default_data() -> Path:
    return Path(os.environ.get(DATA_ROOT_VARIABLE, DATA_ROOT_DEFAULT))


def _over_time(name: str, bundle: Bundle, folder: Path, groups: set[str] | None, fps: float) -> None:
    """Positions of a folder over time; of the bundle's own half those that no member was fitted on."""
    positions = None if groups is None else {Path(group).name.partition("-")[0] for group in groups}
    steps = [step for step in layout.steps(folder) if positions is None or step.sequence in positions]
    fault = bundle.manifest.faults[0]
    scores = sequence.play(bundle.path, steps, fps)
    report.write(
        f"set_{name}_over_time",
        title="Ball screw over time: an alarm is two flagged steps in a row",
        rows=sequence.rows(steps, scores, fault.threshold),
        notes=[
            "Positions that no weight was fitted on; a step is about four hours, and each frame is judged in windows of 128 px.",
            "The annotation begins where a person saw the pitting first.",
        ],
    )


def _laid_out(chosen: PictureSet, source: Path, target: Path) -> None:
    """Once; a folder that is there is complete."""
    assert chosen.lay_out is not None
    if not target.is_dir():
        part = target.with_name(target.name + ".part")
        chosen.lay_out(source, part)
        part.rename(target)


def _elsewhere(chosen: PictureSet, folder: Path, root: Path) -> list[Picture]:
    if chosen.lay_out is not None:
        target = root / chosen.folder / "test"
        _laid_out(chosen, folder, target)
        folder = target
    return in_folder(load_recipe(chosen.recipe_file), chosen.recipe_file.parent, folder)


@contextmanager
def _data_root(root: Path) -> Iterator[None]:
    """Recipes find their pictures below a folder."""
    before = os.environ.get(DATA_ROOT_VARIABLE)
    os.environ[DATA_ROOT_VARIABLE] = str(root)
    try:
        yield
    finally:
        del os.environ[DATA_ROOT_VARIABLE]
        if before is not None:
            os.environ[DATA_ROOT_VARIABLE] = before


def _build(chosen: PictureSet, out: Path) -> Path:
    from exporters import pipeline  # noqa: PLC0415 - a bundle that is given needs no torch
    from exporters.job import prepare  # noqa: PLC0415 - likewise

    # Features stay beside the bundle: a second try begins with the fit.
    job = replace(prepare(chosen.recipe_file, BOARD), features=out / "features")
    return pipeline.build(job, out / "bundles", now=datetime.now(UTC), log=print)


def _trivial(bundle: Bundle, shown: Sequence[Picture], taught: Sequence[Picture] | None) -> Mapping[str, Floats]:
    features = trivial_features([picture.file.read_bytes() for picture in shown])
    if taught is None:
        return findings.baselines(bundle.manifest.faults, shown, features)
    learned = trivial_features([picture.file.read_bytes() for picture in taught])
    return findings.baselines(
        bundle.manifest.faults, shown, features, [replace(one, tested=False) for one in taught], learned
    )


def _named_notes(bundle: Bundle, shown: Sequence[Picture], scores: Floats, trivial: Mapping[str, Floats]) -> list[str]:
    """How often the right one of several faults has the highest score, where the faults exclude each other."""
    faults = bundle.manifest.faults
    right = findings.named_right(faults, shown, scores)
    if len(faults) < 3 or not len(right):
        return []
    low, high = exact_interval(int(right.sum()), len(right))
    others = ", ".join(
        f"{name} {100 * findings.named_right(faults, shown, trivial[name]).mean():.1f} %" for name in BASELINES
    )
    return [
        (
            f"Named right, of pictures with one fault: {100 * right.mean():.1f} % ({int(right.sum())} of {len(right)}, {100 * low:.1f} to "
            f"{100 * high:.1f} %); {others}."
        )
    ]


def _fair_notes(
    chosen: PictureSet, bundle: Bundle, shown: Sequence[Picture], scores: Floats, trivial: Mapping[str, Floats]
) -> list[str]:
    """The figures against normal pictures of the same moment alone: others may be told by their light."""
    if not chosen.fair_ground:
        return []
    kept = [row for row, one in enumerate(shown) if one.faults or one.file.parent.name == chosen.fair_ground]
    few = {name: found[kept] for name, found in trivial.items()}
    made = findings.rows(bundle.manifest.faults, [shown[row] for row in kept], scores[kept], few)
    return [
        (
            f"Against {chosen.fair_ground} alone: {row['channel']} AUROC {row['AUROC']} ({row['95 % of groups']} of groups), false alarms "
            f"{row['false alarms %']} %; {', '.join(f'{name} {row[name]}' for name in BASELINES)}."
        )
        for row in made
    ]


def _deletion_notes(bundle: Bundle) -> list[str]:
    """What the build found when it filled in the places that the head looks at."""
    lines = (bundle.path / "report.md").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("- ") for line in lines if "deletion check" in line.lower()]


def _path_notes(bundle: Bundle, played: Sequence[Picture], heard: Replay) -> list[str]:
    """What the daemon made of the same pictures, and how fast."""
    judged = [(picture, one) for picture, one in zip(played, heard.judged, strict=True) if one is not None]
    if not judged:
        return ["No picture was kept for the test: nothing was replayed."]
    late_ms: NDArray[np.float64] = np.array([one.latency_ms for _, one in judged])
    ids = [fault.id for fault in bundle.manifest.faults]
    apart = [
        abs(one.scores[fault] - score)
        for picture, one in judged
        if picture.tested
        for fault, score in zip(ids, picture.scores, strict=False)
    ]
    same = f"; scores are those of the build to {max(apart):.4f}" if apart else ""
    return [
        (
            f"Replayed through Mosquitto and the daemon: {len(played)} pictures, {len(judged)} judged{same}; p50 {np.percentile(late_ms, 50):.1f}, "
            f"p99 {np.percentile(late_ms, 99):.1f} ms of {heard.budget_ms:g} ms, {heard.ledger['misses']} late."
        )
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sets", description=__doc__)
    parser.add_argument(
        "names", nargs="+", metavar="NAME", choices=[*SETS, *RECORDINGS], help=", ".join((*SETS, *RECORDINGS))
    )
    parser.add_argument("--data", type=Path, help="folder that holds the sets; default: EDGE_DATA")
    parser.add_argument(
        "--test-data", type=Path, help="a folder laid out like the set's open half, to be judged instead of it"
    )
    parser.add_argument("--bundle", type=Path, help="a bundle of the set's recipe, instead of building one")
    parser.add_argument("--fps", type=float, default=25.0, help="camera rate")
    parser.add_argument("--out", type=Path, default=Path("build/sets"), help="folder for bundles and the worst misses")
    return parser


if __name__ == "__main__":
    report.run(main)

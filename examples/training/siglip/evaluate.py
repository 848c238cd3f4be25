"""Measures a checkpoint on scenes and pictures that it was not trained on: ``python -m examples.training.siglip.evaluate CHECKPOINT``."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.line.captions import caption
from examples.line.faults import FAULTS
from examples.line.scene import SceneSpec, render, sample_spec
from examples.training.common import generated, real, words
from examples.training.common.samples import Pixels, Sample, resized
from examples.training.common.scoring import auroc, balanced_accuracy, grouped_scores, recall_at
from examples.training.siglip import prompts
from examples.training.siglip.encoder import Encoder as SiglipEncoder
from examples.training.siglip.encoder import Floats

SEED = 20_000_000
CLEAR_SEVERITY = 0.35
Figures = dict[str, object]


class Encoder(Protocol):
    """A checkpoint under test. Embeddings have unit length."""

    edge: int  # of the pictures that it takes, px

    def texts(self, prompts: list[str], /) -> Floats:
        """Embeddings (n, width) of prompts."""
        ...

    def ensemble(self, prompts: list[str], /) -> Floats:
        """One embedding (width,) for several phrasings of the same thing."""
        ...

    def pictures(self, images: Pixels, /) -> tuple[Floats, NDArray[np.float32]]:
        """Pooled embeddings (n, width) and patch features (n, patches, width) of pictures uint8 (n, edge, edge, 3)."""
        ...

    def contrast(self, pooled: Floats, fault: list[str], normal: list[str], /) -> Floats:
        """Scores (n,): how much nearer a picture is to the fault's prompts than to the normal ones."""
        ...


def _pictures(encoder: Encoder, specs: list[SceneSpec]) -> Pixels:
    return np.stack([resized(render(spec, 640, 480).image, encoder.edge) for spec in specs])


def single_fault_specs(fault: str, count: int, rng: np.random.Generator) -> list[SceneSpec]:
    """Scenes with just this fault, none of them a held-out pair."""
    specs: list[SceneSpec] = []
    while len(specs) < count:
        spec = sample_spec(rng, faults=[fault])
        if not generated.held_out(spec):
            specs.append(spec)
    return specs


def line_zero_shot(encoder: Encoder, count: int) -> Figures:
    """AUROC by fault on fresh scenes: against normal scenes, against scenes with another fault, with usual and unseen wording."""
    rng = np.random.default_rng(SEED)
    normal = encoder.pictures(_pictures(encoder, [sample_spec(rng, faults=[]) for _ in range(4 * count)]))[0]
    specs = {fault: single_fault_specs(fault, count, rng) for fault in FAULTS}
    faulty = {fault: encoder.pictures(_pictures(encoder, found))[0] for fault, found in specs.items()}
    clear = {fault: np.array([spec.severity > CLEAR_SEVERITY for spec in found]) for fault, found in specs.items()}
    table: dict[str, dict[str, float]] = {}
    for fault in FAULTS:
        others = np.concatenate([pooled for other, pooled in faulty.items() if other != fault])
        table[fault] = {}
        for wording, asked in (("usual", prompts.USUAL[fault]), ("unseen", prompts.UNSEEN[fault])):
            good, bad = (encoder.contrast(x, asked, prompts.NORMAL) for x in (normal, faulty[fault]))
            table[fault][f"{wording}_normal"] = _pair(bad, good)
            table[fault][f"{wording}_normal_clear"] = _pair(bad[clear[fault]], good)
            # Among faulty scenes the normal prompts would only tell how plain a fault is, so the fault's own prompts are used alone.
            named = encoder.ensemble(asked)
            table[fault][f"{wording}_others"] = _pair(faulty[fault] @ named, others @ named)
    anything = [f"a part with {FAULTS[fault].nouns[0]}" for fault in FAULTS]
    pooled = np.concatenate(list(faulty.values()))
    scores = [
        np.max([encoder.contrast(x, [asked], prompts.NORMAL) for asked in anything], axis=0) for x in (pooled, normal)
    ]
    means = {key: float(np.mean([row[key] for row in table.values()])) for key in next(iter(table.values()))}
    return {
        "scenes_per_fault": count,
        "normal_scenes": 4 * count,
        "faults": table,
        "mean": means,
        "any_fault_against_normal": _pair(*scores),
    }


def _pair(bad: Floats, good: Floats) -> float:
    return auroc(np.concatenate([bad, good]), np.repeat([True, False], [len(bad), len(good)]))


def held_out_pairs(encoder: Encoder, count: int) -> Figures:
    """AUROC of part-and-fault pairs that training never showed, against normal scenes of the same part."""
    rng = np.random.default_rng(SEED + 1)
    found: Figures = {}
    for part, fault in sorted(generated.HELD_OUT_PAIRS):
        bad = encoder.pictures(_pictures(encoder, [sample_spec(rng, faults=[fault], part=part) for _ in range(count)]))[
            0
        ]
        good = encoder.pictures(_pictures(encoder, [sample_spec(rng, faults=[], part=part) for _ in range(count)]))[0]
        asked = prompts.USUAL[fault]
        found[f"{part} with {fault}"] = _pair(
            encoder.contrast(bad, asked, prompts.NORMAL), encoder.contrast(good, asked, prompts.NORMAL)
        )
    return found


def retrieval(encoder: Encoder, count: int) -> Figures:
    """Recall among ``count`` scenes with one caption each; also counting a caption of a scene with the same faults and part as right."""
    rng = np.random.default_rng(SEED + 2)
    specs = [generated.training_spec(rng) for _ in range(count)]
    texts = [caption(spec, rng) for spec in specs]
    scores = encoder.pictures(_pictures(encoder, specs))[0] @ encoder.texts(texts).T
    same_text = np.array([[a == b for b in texts] for a in texts])
    alike = np.array([[a.faults == b.faults and a.part == b.part for b in specs] for a in specs])
    found: Figures = {"scenes": count, "different_captions": len(set(texts)), "chance_at_1": 1 / count}
    for name, right in (("exact", same_text), ("same_faults_and_part", alike)):
        for k in (1, 5):
            found[f"picture_to_text_{name}_at_{k}"] = recall_at(scores, right, k)
            found[f"text_to_picture_{name}_at_{k}"] = recall_at(scores.T, right, k)
    return found


def _validation(encoder: Encoder, name: str) -> list[Sample]:
    return [sample for sample in real.SETS[name](real.data_root(), encoder.edge) if sample.split == "validation"]


def _many_class(encoder: Encoder, name: str) -> Figures:
    """Zero-shot accuracy among the class names of a real set on its validation cut."""
    samples = _validation(encoder, name)
    labels = sorted({sample.note["label"] for sample in samples})
    place = words.PLACES[name][0]
    texts = np.stack([encoder.ensemble([f"{place} with {noun}" for noun in _class_words(label)]) for label in labels])
    truth = np.array([labels.index(sample.note["label"]) for sample in samples])
    predicted = (encoder.pictures(np.stack([sample.image for sample in samples]))[0] @ texts.T).argmax(1)
    return {
        "pictures": len(samples), "classes": len(labels), "accuracy": float((predicted == truth).mean()), "balanced_accuracy": balanced_accuracy(predicted, truth),
        "chance": 1 / len(labels), "largest_class": float(np.bincount(truth).max() / len(truth)),
    }  # fmt: skip


def _class_words(label: str) -> list[str]:
    return (
        ["no defect", "nothing unusual"] if label == "normal" else list(words.NOUNS.get(label, words.nouns(label))[:3])
    )


def _two_class(encoder: Encoder, name: str, fault: str) -> Figures:
    """Zero-shot AUROC of a fault on a real set's validation cut."""
    samples = _validation(encoder, name)
    place = words.PLACES[name][0]
    pooled = encoder.pictures(np.stack([sample.image for sample in samples]))[0]
    scores = encoder.contrast(
        pooled, [f"{place} with {noun}" for noun in words.nouns(fault)[1:4]], [f"a flawless {place}", *prompts.NORMAL]
    )
    bad = np.array([sample.note["label"] == fault for sample in samples])
    return {"pictures": len(samples), "faulty": int(bad.sum()), "auroc": auroc(scores, bad)}


def ground_zero_shot(encoder: Encoder, count: int) -> Figures:
    """AUROC by defect on fresh generated ground surfaces."""
    rng = np.random.default_rng(SEED + 3)
    samples = [generated.ground_sample(rng, "test", edge=encoder.edge) for _ in range(count)]
    pooled = encoder.pictures(np.stack([sample.image for sample in samples]))[0]
    found: Figures = {"pictures": count}
    for defect in (*words.GROUND, "crack", "scratch"):
        scores = encoder.contrast(pooled, list(words.nouns(defect)[:3]), prompts.NORMAL)
        known = np.array([defect in sample.facts or f"!{defect}" in sample.facts for sample in samples])
        found[defect] = auroc(scores[known], np.array([defect in sample.facts for sample in samples])[known])
    return found


def tile_features(patches: NDArray[np.float32], pooled: Floats) -> Floats:
    """What a light head sees: the pooled embedding, and mean, maximum and deviation of the patch features; (n, 4 * width)."""
    return np.concatenate([pooled * 14, patches.mean(1), patches.max(1), patches.std(1)], axis=1).astype(np.float64)


def _grey_statistics(images: list[Pixels]) -> Floats:
    """The trivial baseline of the set's description: mean, deviation and three quantiles of the grey levels."""
    return np.array([[x.mean(), x.std(), *np.percentile(x, (5, 50, 95))] for x in images], np.float64)


def tile_probe(encoder: Encoder) -> Figures:
    """Magnetic tiles, never trained on: a logistic regression on frozen features with tile groups left out, and zero-shot by prompt."""
    base = real.data_root() / "magnetic_tile/open"
    rows = list(csv.DictReader(io.StringIO((base / "labels.csv").read_text())))
    grey = [np.asarray(cv2.imread(str(base / row["file"]), cv2.IMREAD_GRAYSCALE), np.uint8) for row in rows]
    labels = np.array([row["label"] for row in rows])
    groups = np.array([int(row["tile_group"]) for row in rows])
    bad = labels != "free"
    pooled, patches = encoder.pictures(np.stack([resized(image, encoder.edge) for image in grey]))
    scores = grouped_scores(tile_features(patches, pooled), bad, groups)
    found: Figures = {
        "pictures": len(rows), "groups": len(set(groups.tolist())),
        "probe_fault_against_free": auroc(scores, bad),
        "grey_statistics_fault_against_free": auroc(grouped_scores(_grey_statistics(grey), bad, groups), bad),
    }  # fmt: skip
    zero: list[Floats] = []
    for label, asked in prompts.TILE.items():
        zero.append(encoder.contrast(pooled, asked, prompts.TILE_NORMAL))
        kept = (labels == label) | ~bad
        found[f"probe_{label}"] = auroc(scores[kept], bad[kept])
        found[f"zero_shot_{label}"] = auroc(zero[-1][kept], bad[kept])
    found["zero_shot_fault_against_free"] = auroc(np.max(zero, axis=0), bad)
    return found


def evaluate(encoder: Encoder, scale: float = 1.0, parts: Collection[str] | None = None) -> Figures:
    """All figures of a checkpoint, or those that ``parts`` names; those of real sets are left out when the data root is absent."""
    known: dict[str, Callable[[], Figures]] = {
        "line": lambda: line_zero_shot(encoder, max(4, int(60 * scale))),
        "held_out_pairs": lambda: held_out_pairs(encoder, max(4, int(50 * scale))),
        "retrieval": lambda: retrieval(encoder, max(16, int(256 * scale))),
        "ground": lambda: ground_zero_shot(encoder, max(60, int(500 * scale))),
    }
    if real.data_root().is_dir():
        known |= {
            "xsdd": lambda: _many_class(encoder, "steel"),
            "solar": lambda: _many_class(encoder, "solar"),
            "bsdata": lambda: _two_class(encoder, "screw", "pitting"),
            "pan": lambda: _two_class(encoder, "pan", "crack"),
            "magnetic_tile": lambda: tile_probe(encoder),
        }
    return {name: part() for name, part in known.items() if parts is None or name in parts}


def report(
    command: str,
    load: Callable[[Path], Encoder],
    arguments: list[str] | None,
    parts: Collection[str] | None = None,
) -> None:
    """Measure a checkpoint folder and write the figures as JSON.

    Args:
        command: how this is started, for the help.
        load: opens the folder.
        arguments: of the command line; None: this process's.
        parts: the figures to measure; None: all.
    """
    parser = argparse.ArgumentParser(prog=command, description="Measure a checkpoint folder.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--json", type=Path, help="file for the figures; the default is evaluation.json in the checkpoint folder"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of generated pictures")
    given = parser.parse_args(arguments)
    text = json.dumps(evaluate(load(given.checkpoint), given.scale, parts), indent=1)
    (given.json or given.checkpoint / "evaluation.json").write_text(text + "\n")
    print(text)


def main(arguments: list[str] | None = None) -> None:
    """Measure a SigLIP."""
    report("python -m examples.training.siglip.evaluate", SiglipEncoder, arguments)


if __name__ == "__main__":
    main()

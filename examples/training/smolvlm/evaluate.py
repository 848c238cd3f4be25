"""Measures a checkpoint, compiled, on scenes and pictures that it was not trained on: ``python -m examples.training.smolvlm.evaluate CHECKPOINT``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.inference.preprocess import encode_jpeg
from examples.line.faults import FAULTS
from examples.line.scene import SceneSpec, render, sample_spec
from examples.training.common import generated, real, words
from examples.training.common.samples import Pixels, Sample, resized
from examples.training.common.scoring import auroc
from examples.training.siglip import prompts
from examples.training.siglip.encoder import Encoder
from examples.training.siglip.evaluate import CLEAR_SEVERITY, SEED, single_fault_specs
from examples.training.smolvlm.compiled import Compiled, Floats
from examples.training.smolvlm.questions import UNSEEN, USUAL

SIGLIP = Path(__file__).parents[2] / "checkpoint" / "siglip-line-tiny"
RESOLUTIONS_PX = (512, 384, 256, 224, 192)
EVALUATED_PX = 192
FALSE_ALARMS = 0.05
"""Share of normal scenes that may be flagged where both models are held against each other, fault by fault."""

Figures = dict[str, object]


def scenes(count: int) -> tuple[list[SceneSpec], dict[str, list[SceneSpec]]]:
    """Normal scenes and scenes with one fault each: the very ones of `examples.training.siglip.evaluate`."""
    rng = np.random.default_rng(SEED)
    normal = [sample_spec(rng, faults=[]) for _ in range(4 * count)]
    return normal, {fault: single_fault_specs(fault, count, rng) for fault in FAULTS}


def photographs(specs: Sequence[SceneSpec]) -> list[Pixels]:
    """The scenes as a camera sees them, uint8 (480, 640, 3)."""
    return [np.asarray(render(spec, 640, 480).image, np.uint8) for spec in specs]


def _encoded(pictures: Sequence[Pixels]) -> list[bytes]:
    return [encode_jpeg(picture, 90) for picture in pictures]


def against(bad: Floats, good: Floats) -> float:
    """Chance that a faulty picture outranks a good one."""
    return auroc(np.concatenate([bad, good]), np.repeat([True, False], [len(bad), len(good)]))


def detected(bad: Floats, good: Floats) -> float:
    """Share of faulty pictures above the limit that flags FALSE_ALARMS of the good ones."""
    limit = np.quantile(good, 1 - FALSE_ALARMS, method="higher")
    return float((bad > limit).mean())


class Asked:
    """Several questions a fault, compiled together; a fault's score is the mean margin of its questions."""

    def __init__(self, folder: Path, edge: int, questions: dict[str, tuple[str, ...]]) -> None:
        self._names = [name for name, found in questions.items() for _ in found]
        self.compiled = Compiled(folder, [question for found in questions.values() for question in found], edge)

    def scores(self, pictures: list[bytes]) -> dict[str, Floats]:
        """Score of every picture by name."""
        margins = self.compiled.ask(pictures)
        return {name: margins[:, [n == name for n in self._names]].mean(1) for name in dict.fromkeys(self._names)}


def line(folder: Path, count: int) -> Figures:
    """By fault: usual and unseen questions, and the dual encoder's prompts on the same pictures."""
    normal, faulty = scenes(count)
    pictures = {"": photographs(normal)} | {fault: photographs(specs) for fault, specs in faulty.items()}
    both = {f"usual {fault}": asked for fault, asked in USUAL.items()} | {
        f"unseen {fault}": asked for fault, asked in UNSEEN.items()
    }
    asked = Asked(folder, EVALUATED_PX, both)
    found = {name: asked.scores(_encoded(shown)) for name, shown in pictures.items()}
    encoder = Encoder(SIGLIP)
    pooled = {
        name: encoder.pictures(np.stack([resized(picture) for picture in shown]))[0] for name, shown in pictures.items()
    }
    table: dict[str, dict[str, float]] = {}
    for fault in FAULTS:
        usual, unseen = (
            (found[fault][f"{kind} {fault}"], found[""][f"{kind} {fault}"]) for kind in ("usual", "unseen")
        )
        dual = tuple(encoder.contrast(pooled[name], prompts.USUAL[fault], prompts.NORMAL) for name in (fault, ""))
        clear = np.array([spec.severity > CLEAR_SEVERITY for spec in faulty[fault]])
        others = np.concatenate([found[other][f"usual {fault}"] for other in FAULTS if other != fault])
        table[fault] = {
            "usual": against(*usual), "usual_clear": against(usual[0][clear], usual[1]), "unseen": against(*unseen),
            "others": against(usual[0], others), "dual": against(*dual), "detected": detected(*usual), "dual_detected": detected(*dual),
        }  # fmt: skip
    means = {key: float(np.mean([row[key] for row in table.values()])) for key in next(iter(table.values()))}
    return {"scenes_per_fault": count, "normal_scenes": 4 * count, "faults": table, "mean": means}


def held_out_pairs(folder: Path, count: int) -> Figures:
    """AUROC of part-and-fault pairs that training never showed, against normal scenes of the same part; the scenes of the SigLIP's evaluation."""
    rng = np.random.default_rng(SEED + 1)
    asked = Asked(folder, EVALUATED_PX, {fault: USUAL[fault] for _, fault in sorted(generated.HELD_OUT_PAIRS)})
    found: Figures = {}
    for part, fault in sorted(generated.HELD_OUT_PAIRS):
        bad, good = (
            asked.scores(_encoded(photographs([sample_spec(rng, faults=faults, part=part) for _ in range(count)])))[
                fault
            ]
            for faults in ([fault], [])
        )
        found[f"{part} with {fault}"] = against(bad, good)
    return found


def _validation(name: str, most: int) -> list[Sample]:
    samples = [sample for sample in real.SETS[name](real.data_root(), EVALUATED_PX) if sample.split == "validation"]
    return samples[:: max(1, len(samples) // most)]


def real_set(folder: Path, name: str, most: int) -> Figures:
    """A real set's kept-out blocks: each fault's AUROC against all other pictures of the set, by questions with its usual names."""
    samples = _validation(name, most)
    labels = [sample.note["label"] for sample in samples]
    faults = sorted(set(labels) - {"normal"})
    asked = {fault: tuple(f"Is there {noun} in the picture?" for noun in words.nouns(fault)[:3]) for fault in faults}
    scores = Asked(folder, EVALUATED_PX, asked).scores(_encoded([sample.image for sample in samples]))
    areas = {fault: auroc(scores[fault], np.array([label == fault for label in labels])) for fault in faults}
    return {"pictures": len(samples), "faults": areas, "mean": float(np.mean(list(areas.values())))}


def resolutions(folder: Path, count: int) -> Figures:
    """AUROC by fault and time of a frame at several resolutions of the tower: the same scenes, questions and weights."""
    normal, faulty = scenes(count)
    pictures = {name: _encoded(photographs(specs)) for name, specs in ({"": normal} | faulty).items()}
    found: Figures = {}
    for edge in RESOLUTIONS_PX:
        asked = Asked(folder, edge, {fault: USUAL[fault][:1] for fault in FAULTS})
        scores = {name: asked.scores(shown) for name, shown in pictures.items()}
        areas = {fault: against(scores[fault][fault], scores[""][fault]) for fault in FAULTS}
        found[str(edge)] = {
            "faults": areas, "mean": float(np.mean(list(areas.values()))), "frame_ms": asked.compiled.frame_ms(pictures[""][0]),
        }  # fmt: skip
    return found


def evaluate(folder: Path, scale: float = 1.0) -> Figures:
    """All figures of a checkpoint folder; those of real sets are left out when the data root is absent."""
    found: Figures = {
        "line": line(folder, max(4, int(36 * scale))),
        "held_out_pairs": held_out_pairs(folder, max(4, int(36 * scale))),
        "resolutions": resolutions(folder, max(4, int(12 * scale))),
    }
    if real.data_root().is_dir():
        for name, most in (("steel", 200), ("solar", 300), ("screw", 200), ("pan", 20)):
            found[name] = real_set(folder, name, max(20, int(most * scale)))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure and write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m examples.training.smolvlm.evaluate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual number of generated pictures")
    given = parser.parse_args(arguments)
    text = json.dumps(evaluate(given.checkpoint, given.scale), indent=1)
    (given.checkpoint / "evaluation.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()

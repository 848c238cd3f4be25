"""Tiny image towers with random weights in their public layouts, and a tiny text tower."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from exporters.towers.words import FILE, FOLDER, Projections, Sizes

SIDE = 64  # px
PATCH = 8
STD = 0.2  # of weights; transformers' own are so small that all pictures look alike
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "patch_size": PATCH,
}
WIDTHS = (4, 6, 8, 10, 12, 14, 16)  # of a small EfficientNet with as many blocks as Lite0
REPEATS = (1, 2, 2, 3, 3, 4, 1)
KERNELS = (3, 3, 5, 3, 5, 5, 3)
PHRASES = ("a crack", "a cracked part", "a smooth surface", "no crack", "a dent", "a normal part")


def public(kind: str, folder: Path) -> Path:
    """A folder in the public layout of one of `KINDS`."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    KINDS[kind](folder)
    return folder


def efficientnet(*, excite: bool, pooled: int = 24) -> dict[str, Tensor]:
    """Random tensors of a small EfficientNet in timm's layout, with squeeze-and-excite or without."""
    random = torch.Generator().manual_seed(7)
    tensors: dict[str, Tensor] = {}

    def filters(name: str, shape: tuple[int, ...]) -> None:
        tensors[f"{name}.weight"] = torch.randn(shape, generator=random) * (1.5 / (shape[1] * shape[2] ** 2)) ** 0.5

    def convolution(name: str, norm: str, shape: tuple[int, ...]) -> None:
        filters(name, shape)
        for part, least in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.2)):
            tensors[f"{norm}.{part}"] = torch.rand(shape[0], generator=random) + least

    convolution("conv_stem", "bn1", (8, 3, 3, 3))
    before = 8
    for stage, (width, repeats, kernel) in enumerate(zip(WIDTHS, REPEATS, KERNELS, strict=True)):
        for place in range(repeats):
            name, inner = f"blocks.{stage}.{place}", before * (2 if stage else 1)
            if stage:
                convolution(f"{name}.conv_pw", f"{name}.bn1", (inner, before, 1, 1))
            convolution(f"{name}.conv_dw", f"{name}.bn{2 if stage else 1}", (inner, 1, kernel, kernel))
            if excite:
                for part, shape in (("reduce", (2, inner, 1, 1)), ("expand", (inner, 2, 1, 1))):
                    filters(f"{name}.se.conv_{part}", shape)
                    tensors[f"{name}.se.conv_{part}.bias"] = torch.rand(shape[0], generator=random)
            last, norm = ("conv_pwl", "bn3") if stage else ("conv_pw", "bn2")
            convolution(f"{name}.{last}", f"{name}.{norm}", (width, inner, 1, 1))
            before = width
    convolution("conv_head", "bn2", (pooled, before, 1, 1))
    return tensors


def add_words(checkpoint: Path, groups: tuple[tuple[int, ...], ...], widths: tuple[int, ...], pooled: int) -> Path:
    """Give a converted tower a tiny text tower and random projections."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(1)
    folder = checkpoint / FOLDER
    folder.mkdir()
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *sorted({word for line in PHRASES for word in line.split()}),
    ]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    BertTokenizerFast(vocab={token: index for index, token in enumerate(tokens)}).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokens), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    _spread(BertModel(config)).save_pretrained(folder)
    sizes = Sizes(pooled=pooled, groups=groups, widths=widths, hidden=8, queries=2, width=12, text=16)
    save_file(_spread(Projections(sizes)).state_dict(), checkpoint / FILE)
    document = json.loads((checkpoint / "config.json").read_text())
    document["tower"]["words"] = {
        "pooled": pooled, "groups": groups, "widths": widths, "hidden": 8, "queries": 2, "width": 12, "text": 16,
    }  # fmt: skip
    (checkpoint / "config.json").write_text(json.dumps(document))
    return checkpoint


def _spread(model: Any) -> Any:
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=STD)
    return model


def _processor(folder: Path, **rule: Any) -> None:
    document = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25], "rescale_factor": 1 / 255, **rule}
    (folder / "preprocessor_config.json").write_text(json.dumps(document))


def _dinov2(folder: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    _spread(Dinov2Model(Dinov2Config(**SHAPE, image_size=40))).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\ntags:\n- vision\n---\n# DINOv2\n")
    _processor(folder, size={"shortest_edge": 80}, do_center_crop=True, crop_size={"height": SIDE, "width": SIDE})


def _registers(folder: Path) -> None:
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    config = Dinov2WithRegistersConfig(**SHAPE, image_size=40, num_register_tokens=2)
    _spread(Dinov2WithRegistersModel(config)).save_pretrained(folder)
    _processor(folder, size={"height": SIDE, "width": SIDE})


def _siglip(folder: Path) -> None:
    from transformers import SiglipConfig, SiglipModel

    text = {**SHAPE, "vocab_size": 60, "pad_token_id": 1, "eos_token_id": 0, "bos_token_id": 0}
    config = SiglipConfig(text_config=text, vision_config={**SHAPE, "image_size": SIDE})
    _spread(SiglipModel(config)).save_pretrained(folder)
    _processor(folder, size={"height": SIDE, "width": SIDE})


def _siglip2(folder: Path) -> None:
    from transformers import Siglip2Config, Siglip2Model

    text = {**SHAPE, "vocab_size": 60, "pad_token_id": 1, "eos_token_id": 0, "bos_token_id": 0}
    config = Siglip2Config(text_config=text, vision_config={**SHAPE, "num_patches": 16})
    _spread(Siglip2Model(config)).save_pretrained(folder)
    _processor(folder, max_num_patches=(SIDE // PATCH) ** 2, patch_size=PATCH)


def _convnext(folder: Path) -> None:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    config = ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1], layer_scale_init_value=0.5)
    _spread(ConvNextForImageClassification(config)).save_pretrained(folder)
    _processor(folder, size={"shortest_edge": SIDE})


def _convnextv2(folder: Path) -> None:
    from transformers import ConvNextV2Config, ConvNextV2Model

    _spread(ConvNextV2Model(ConvNextV2Config(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1]))).save_pretrained(
        folder
    )
    _processor(folder, size={"shortest_edge": SIDE})


def _timm(architecture: str, *, excite: bool) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        tensors = {
            **efficientnet(excite=excite),
            "classifier.weight": torch.zeros(3, 24),
            "classifier.bias": torch.zeros(3),
        }
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        rule = {"input_size": [3, SIDE, SIDE], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.4, 0.5], "license": "apache-2.0"}
        (folder / "config.json").write_text(json.dumps({"architecture": architecture, "pretrained_cfg": rule}))

    return write


KINDS: Mapping[str, Callable[[Path], None]] = {
    "dinov2": _dinov2,
    "dinov2_with_registers": _registers,
    "siglip": _siglip,
    "siglip2": _siglip2,
    "convnext": _convnext,
    "convnextv2": _convnextv2,
    "lite0": _timm("tf_efficientnet_lite0.in1k", excite=False),
    "b0": _timm("efficientnet_b0.ra_in1k", excite=True),
    "tf_b0": _timm("tf_efficientnet_b0", excite=True),
}

"""A parameter's tensor is found under another prefix, and never in another layer, another module, or twice."""

from __future__ import annotations

import pytest

from edge.errors import ExportError
from exporters.checkpoint.naming import match, stacked, stacks

PARTS = ("attn.q.weight", "attn.k.weight", "mlp.down.weight")


def _layers(prefix: str, count: int = 3) -> list[str]:
    return [f"{prefix}.layers.{layer}.{part}" for layer in range(count) for part in PARTS]


def _wanted(*names: str) -> list[list[str]]:
    return [[name] for name in names]


def test_a_tensor_of_the_very_name_is_taken() -> None:
    """Extra tensors are nobody's and do no harm."""
    names = _layers("model.text")
    found, missing = match(_wanted(*names), [*names, *_layers("mtp", 1), "position_ids"])
    assert found == {name: name for name in names}
    assert missing == []


def test_other_prefixes_are_found() -> None:
    """Published checkpoints may name their parts in another order, or leave the outermost off."""
    text, vision = _layers("model.language_model"), _layers("model.vision.encoder")
    published = [*_layers("language_model.model"), *_layers("vision.encoder")]
    found, missing = match(_wanted(*text, *vision), published)
    assert [found[name] for name in [*text, *vision]] == published
    assert missing == []


def test_one_name_of_a_tied_weight_is_enough() -> None:
    """Whichever of its names the checkpoint has."""
    assert match([["lm_head.weight", "model.embed.weight"]], ["model.embed.weight"])[0] == {
        "lm_head.weight": "model.embed.weight"
    }


@pytest.mark.parametrize("prefix", ["model.language_model", "language_model.model"], ids=["own-names", "other-names"])
@pytest.mark.parametrize("gone", range(9))
def test_a_missing_tensor_is_missing(prefix: str, gone: int) -> None:
    """Neither its neighbour in another layer, nor the other tower's of the same layer, nor an extra layer that ends alike stands in for it."""
    text, vision = _layers("model.language_model"), _layers("model.vision.encoder")
    published = [*_layers(prefix), *_layers("vision.encoder"), *_layers("mtp", 1)]
    del published[gone]
    _, missing = match(_wanted(*text, *vision), published)
    assert missing == [text[gone]]


def test_a_missing_norm_is_not_an_extra_one() -> None:
    """Outside the layers too."""
    names = [*_layers("model.language_model"), "model.language_model.norm.weight"]
    assert match(_wanted(*names), [*names[:-1], "mtp.norm.weight"])[1] == ["model.language_model.norm.weight"]


def test_what_fits_two_tensors_equally_well_is_refused() -> None:
    """A guess would be as often wrong as right."""
    with pytest.raises(ExportError, match="fit equally well"):
        match(_wanted("audio.layers.0.norm.weight"), ["text.layers.0.norm.weight", "vision.layers.0.norm.weight"])


def test_experts_that_lie_one_by_one_are_one_tensor() -> None:
    """Gate above up, experts in order; what is not whole, or one tensor already, is left as it is."""
    parts = {
        f"layers.0.mlp.experts.{one}.{part}.weight": (4, 6) if part != "down_proj" else (6, 4)
        for one in range(11)
        for part in ("gate_proj", "up_proj", "down_proj")
    }
    found = stacked(parts | {"layers.0.mlp.gate.weight": (11, 6)})
    assert found == {
        "layers.0.mlp.gate.weight": (11, 6),
        "layers.0.mlp.experts.gate_up_proj": (11, 8, 6),
        "layers.0.mlp.experts.down_proj": (11, 6, 4),
    }
    order = stacks(parts)["layers.0.mlp.experts.gate_up_proj"]
    assert order[10] == ("layers.0.mlp.experts.10.gate_proj.weight", "layers.0.mlp.experts.10.up_proj.weight")
    del parts["layers.0.mlp.experts.3.up_proj.weight"]
    assert "layers.0.mlp.experts.gate_up_proj" not in stacks(parts)
    parts["layers.0.mlp.experts.3.down_proj.weight"] = (6, 5)
    with pytest.raises(ExportError, match=r"experts of layers\.0\.mlp\.experts\.down_proj have several shapes"):
        stacked(parts)

"""Estimates from shapes: what counts, what does not, and how the schemes differ."""

from __future__ import annotations

from exporters.onepass.plan import plan_stream, split_shapes

SHAPES = {
    "model.vision_tower.layers.0.fc1.weight": (40, 20),
    "model.language_model.layers.0.mlp.up_proj.weight": (1000, 600),
    "model.language_model.layers.0.norm.weight": (600,),
    "model.language_model.embed_tokens.weight": (50_000, 600),
    "lm_head.weight": (50_000, 600),
}


def test_vocabulary_tables_are_not_in_the_graph() -> None:
    """Embedding table and head are left out: the graph keeps a few of their rows."""
    tower, decoder = split_shapes(SHAPES)
    assert set(tower) == {"model.vision_tower.layers.0.fc1.weight"}
    assert set(decoder) == {
        "model.language_model.layers.0.mlp.up_proj.weight",
        "model.language_model.layers.0.norm.weight",
    }


def test_int8_is_a_quarter_and_peak_is_one_tensor() -> None:
    """int8 writes a byte a product weight; the peak grows with the largest tensor, not with the model."""
    whole, small = plan_stream(SHAPES, "float32"), plan_stream(SHAPES, "dynamic-int8")
    assert whole.parameters == 800 + 600_000 + 600
    assert whole.output_bytes == whole.parameters * 4
    assert small.output_bytes == 600_800 + 600 * 4
    broad = (10_000, 6_000)
    one, eight = (
        plan_stream({f"model.language_model.layers.{n}.mlp.up_proj.weight": broad for n in range(count)}, "float32")
        for count in (1, 8)
    )
    assert eight.output_bytes == 8 * one.output_bytes
    # Seven more layers cost their names and nodes, far less than one layer's weights.
    assert eight.peak_bytes - one.peak_bytes < 0.2 * one.output_bytes


def test_a_second_pass_costs_time_and_no_bytes() -> None:
    """The prefix form traces the decoder twice; what is written stays one copy."""
    once, twice = plan_stream(SHAPES, "dynamic-int8"), plan_stream(SHAPES, "dynamic-int8", passes=2)
    assert twice.output_bytes == once.output_bytes
    assert twice.cpu_seconds > once.cpu_seconds

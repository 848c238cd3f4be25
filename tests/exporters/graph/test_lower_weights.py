"""Weights in fewer bits: columns in seven, rows in blocks of four, as ONNX Runtime reads them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exporters.graph.lower_weights import lower, quantize_blocks, quantize_columns
from exporters.graph.stream import trace
from tests.exporters.graph.routed import WIDTH, Routed


def test_columns_are_quantized_in_seven_bits() -> None:
    """Every column has its own scale, no value leaves -64 .. 64, and zeros stay zero."""
    value = np.asarray([[0.5, 0.0, -100.0], [-1.0, 0.0, 3.0]], dtype=np.float32)
    integers, scale = quantize_columns(value)
    assert integers.min() == -64
    assert integers.max() <= 64
    assert np.abs(integers * scale - value).max() <= scale.max() / 2


def test_rows_are_quantized_in_four_bits() -> None:
    """A block's number of largest size is kept exactly, whatever its sign, the others to half a step; what fills up the last block is zero."""
    value = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
    nibbles, scale = quantize_blocks(value)
    assert (nibbles.shape, scale.shape) == ((3, 2, 16), (3, 2))
    steps = np.stack([nibbles & 15, nibbles >> 4], axis=-1).reshape(3, 2, 32).astype(np.float32) - 8
    found = (steps * scale[:, :, None]).reshape(3, 64)
    assert np.abs(found[:, 40:]).max() == 0
    error = np.abs(found[:, :40] - value)
    assert (error <= np.abs(scale).repeat(32, axis=1)[:, :40] * 1.01).all()
    widest = np.abs(value[:, :32]).argmax(axis=1)
    assert np.allclose(error[np.arange(3), widest], 0, atol=1e-6)


@pytest.mark.slow
def test_what_chooses_experts_stays_float() -> None:
    """A router's weight is left as it is, the other's product becomes int8."""
    model = trace(Routed().eval(), torch.zeros(3, WIDTH), input_name="hidden", output_name="out", optimised=False)
    weights = model.graph.initializers
    assert lower(model.graph, weights["router.weight"], "dynamic-int8") == 0
    assert lower(model.graph, weights["plain.weight"], "dynamic-int8") == 1
    assert "router.weight" in weights
    assert "plain.weight" not in weights

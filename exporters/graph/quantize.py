"""Quantizes ONNX to int8 weights, with ranges calibrated on the very tensors that the daemon makes."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge.errors import ExportError

PRODUCTS = [
    "MatMul",
    "Gemm",
]  # the patch embedding stays float: its input is raw pixels, and it is a thousandth of the work
POINTWISE = "Conv"  # in a convolutional tower: those of 1 x 1 are its products
FINE = 16  # frame rows over a grid's rows; on finer grids a rounding spoils every layer behind: cosine 0.98 instead of 0.998
SMALL = 4096  # weights; a product with fewer gains nothing
BEFORE_RANKING = ("Softmax", "Cast")  # the nodes between a router's product and its choice of experts
HEAD = "evidence.head."  # the last products decide the score: a rounding there is a verdict


def available_providers() -> list[str]:
    """Execution providers of the ONNX Runtime that is installed here."""
    return list(onnxruntime.get_available_providers())


class Frames(CalibrationDataReader):  # type: ignore[misc] # ONNX Runtime has no types
    """Hands calibration frames to the quantizer one by one."""

    def __init__(self, name: str, frames: NDArray[np.uint8]) -> None:
        self._feeds: Iterator[dict[str, NDArray[np.uint8]]] = iter([{name: frame[None]} for frame in frames])

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:  # noqa: D102 - inherited
        return next(self._feeds, None)


def quantize(
    scheme: str, source: Path, target: Path, *, frames: NDArray[np.uint8], input_name: str, reduce_range: bool
) -> Path:
    """Write ``source`` quantized by ``scheme`` to ``target``.

    Args:
        scheme: ``dynamic-int8`` (weights int8, activations measured per run) or ``static-int8`` (QDQ, ranges fixed here).
        source: float32 graph.
        target: file to write.
        frames: calibration tensors uint8 [N, H, W, 3]; static only.
        input_name: name of the graph's input.
        reduce_range: 7-bit weights, for boards whose u8 x s8 sums saturate.

    Raises:
        ExportError: an unknown scheme, or the quantizer fails.
    """
    with tempfile.TemporaryDirectory(prefix="quantize-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        common: dict[str, Any] = {
            "op_types_to_quantize": PRODUCTS,
            "per_channel": True,
            "reduce_range": reduce_range,
            "weight_type": QuantType.QInt8,
            "extra_options": {"MatMulConstBOnly": True, "DisableShapeInference": False},
        }
        root = logging.getLogger()
        before = root.level
        root.setLevel(logging.ERROR)  # the quantizer logs advice that has been followed
        try:
            # No graph optimisation here: it would wrap every product into reshapes that cost more than they save.
            quant_pre_process(source, prepared, skip_symbolic_shape=True, skip_optimization=True)
            common["nodes_to_exclude"] = kept_float(onnx.load(prepared))
            if scheme == "dynamic-int8":
                quantize_dynamic(prepared, target, **common)
            elif scheme == "static-int8":
                reader = Frames(input_name, frames)
                common["op_types_to_quantize"] = [*PRODUCTS, POINTWISE]
                quantize_static(
                    prepared, target, reader, quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8, **common
                )
            else:
                raise ExportError(f"unknown quantization scheme {scheme!r}.")
        except AssertionError as error:  # the quantizer's word for a range without an end
            raise ExportError(
                f"{scheme} quantization failed: a weight or a tensor between the layers holds NaN or infinity ({error}). "
                "Does the checkpoint answer sensibly in float32?"
            ) from error
        except (ValueError, RuntimeError, OSError) as error:
            raise ExportError(f"{scheme} quantization failed: {str(error).strip()[:500]}") from error
        finally:
            root.setLevel(before)
    return target


def kept_float(model: onnx.ModelProto) -> list[str]:
    """Names of nodes that stay float32.

    Of the products: the head's, routers', those too small to gain, and batched ones, which no int8 kernel takes per channel. Of the convolutions: all but
    those of 1 x 1 on grids of a sixteenth of the frame or coarser. A filter of its own per channel, the stem and the fine grids spread so widely
    that int8 ruins what lies behind them, whatever pictures the ranges come from.
    """
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}

    def keep(name: str) -> bool:
        return (
            name.startswith(HEAD)
            or (len(shapes[name]) > 1 and math.prod(shapes[name]) < SMALL)
            or len(shapes[name]) > 2
        )

    found = [
        node.name
        for node in model.graph.node
        if node.op_type in PRODUCTS and any(keep(name) for name in node.input if name in shapes)
    ]
    found += _routers(model)
    coarse = set(_coarse_pointwise(model, shapes))
    found += [node.name for node in model.graph.node if node.op_type == POINTWISE and node.name not in coarse]
    # The quantizer turns Gemm into MatMul under a new name before it looks at this list.
    return [*found, *(f"{name}_MatMul" for name in found)]


def _routers(model: onnx.ModelProto) -> Iterator[str]:
    """Products whose result is ranked, which chooses experts: a rounding there is another expert."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        before = made_by.get(node.input[0]) if node.op_type == "TopK" else None
        while before is not None and before.op_type in BEFORE_RANKING:
            before = made_by.get(before.input[0])
        if before is not None and before.op_type in PRODUCTS:
            yield before.name


def _coarse_pointwise(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Convolutions of 1 x 1 outside the head whose grid is coarse enough."""
    rows = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.value_info, *model.graph.input)
    }
    frame = max((shape[1] for shape in (rows[item.name] for item in model.graph.input) if len(shape) == 4), default=0)
    for node in model.graph.node:
        weight = shapes.get(node.input[1], ()) if node.op_type == POINTWISE else ()
        grid = rows.get(node.output[0], [])
        if (
            len(weight) == len(grid) == 4
            and weight[2:] == (1, 1)
            and math.prod(weight) >= SMALL
            and not node.input[1].startswith(HEAD)
            and 0 < grid[2] * FINE <= frame
        ):
            yield node.name

"""ONNX becomes smaller ONNX: int8 weights, with ranges calibrated on the very tensors that the daemon makes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
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

PRODUCTS = ["MatMul", "Gemm"]  # the patch embedding stays float: it sees raw pixels, and is a thousandth of the work
SMALL = 16_384  # weights; a product with fewer gains nothing, and the last one decides the score


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
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            common["nodes_to_exclude"] = small_products(onnx.load(prepared))
            if scheme == "dynamic-int8":
                quantize_dynamic(prepared, target, **common)
            elif scheme == "static-int8":
                reader = Frames(input_name, frames)
                quantize_static(
                    prepared, target, reader, quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8, **common
                )
            else:
                raise ExportError(f"unknown quantization scheme {scheme!r}.")
        except (ValueError, RuntimeError, OSError) as error:
            raise ExportError(f"{scheme} quantization failed: {str(error).strip()[:500]}") from error
        finally:
            root.setLevel(before)
    return target


def small_products(model: onnx.ModelProto) -> list[str]:
    """Names of products whose constant is small - among them the score's last product, where a rounding is a verdict."""
    sizes = {item.name: int(np.prod(item.dims)) for item in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in PRODUCTS and any(0 < sizes.get(name, 0) < SMALL for name in node.input)
    ]

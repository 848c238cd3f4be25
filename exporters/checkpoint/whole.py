"""Loads a checkpoint's weights, complete and finite or not at all: transformers alone would fill missing ones with random numbers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.checkpoint.folder import loading

NAMED = 4  # tensors that a message names; the others are counted


def load_whole(folder: Path, auto: str) -> Any:  # noqa: ANN401 - transformers' untyped model
    """A checkpoint in float32, attention written out (no fused kernels), ready to be traced.

    Args:
        folder: where it lies.
        auto: the transformers class that loads it.

    Raises:
        ExportError: it does not load, lacks tensors, or has some of another shape or with values that are no numbers.
    """
    import torch  # noqa: PLC0415 - plan must start without torch
    import transformers  # noqa: PLC0415 - likewise

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # its report of missing tensors is our error
    with loading(folder, "model"):
        model, found = getattr(transformers, auto).from_pretrained(
            folder,
            local_files_only=True,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are named here
        )
    refuse_missing(folder, found["missing_keys"])
    for name, here, wanted in sorted(found["mismatched_keys"]):
        refuse_shape(folder, name, tuple(here), tuple(wanted))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            refuse_unsound(folder, name, value.numpy())
    return model.eval().requires_grad_(requires_grad=False)


def read_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - transformers ships no types
    """The checkpoint's tokenizer, from its files alone. Raises ExportError."""
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    with loading(folder, "tokenizer"):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def read_image_processor(folder: Path) -> Any:  # noqa: ANN401 - likewise
    """The checkpoint's image processor. Raises ExportError."""
    from transformers import AutoImageProcessor  # noqa: PLC0415 - heavy

    with loading(folder, "image processor"):
        return AutoImageProcessor.from_pretrained(folder, local_files_only=True)


def refuse_missing(folder: Path, names: Collection[str]) -> None:
    """Raise ExportError for parameters that no tensor of the checkpoint fills."""
    if names:
        listed = ", ".join(sorted(names)[:NAMED])
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        raise ExportError(
            f"{folder} has no tensor for {listed}{more}: its answers would be random. Get the whole checkpoint, with the config.json "
            "that belongs to it."
        )


def refuse_shape(folder: Path, name: str, here: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Raise ExportError where a tensor has another shape than the model."""
    if here != wanted:
        raise ExportError(
            f"{folder}: tensor {name} has shape {list(here)}, its config.json wants {list(wanted)}. Weights and configuration are not "
            "of the same checkpoint."
        )


def refuse_unsound(folder: Path, name: str, value: NDArray[np.float32]) -> None:
    """Raise ExportError where a tensor holds NaN or infinity; the extremes show both, without a copy."""
    if value.size and not (np.isfinite(value.min()) and np.isfinite(value.max())):
        raise ExportError(
            f"{folder}: tensor {name} holds NaN or infinity. The file is damaged, or the training went astray: get or train it again."
        )

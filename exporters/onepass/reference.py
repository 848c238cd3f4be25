"""The reference for the one-pass graph: transformers' own forward pass, one question at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from exporters.checkpoint.whole import read_image_processor
from exporters.onepass import layout as lay
from exporters.onepass.generative import Loaded
from exporters.onepass.prompts import Prompts


def process(model: Loaded, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixel values [1, ...] by the checkpoint's own image processor.

    Args:
        model: the loaded checkpoint.
        frame: [H, W, 3], already of the graph's size, so that the processor's resize changes nothing.
    """
    found = _processor(model.checkpoint.folder)(images=_picture(frame), return_tensors="np", **_options(model))
    values: NDArray[np.float32] = np.asarray(found["pixel_values"], dtype=np.float32)
    return values if model.family.batched_pixels else values[None]


def normalise(model: Loaded, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixel values [N, ...] of frames [N, H, W, 3] of the graph's size."""
    return np.concatenate([process(model, frame) for frame in frames])


def ask(
    model: Loaded, pixels: NDArray[np.float32], prompts: Prompts, last: torch.Tensor | None = None
) -> NDArray[np.float32]:
    """Logits [N, Q, 2] (yes, no) behind each of Q prompts for each of N pictures, one whole forward pass each.

    Args:
        model: the loaded checkpoint.
        pixels: what `process` gives, [N, ...].
        prompts: the questions, image tokens written out.
        last: [Q, D] embeddings that take the place of each prompt's last token; None: its own.
    """
    shapes = _shapes(model)
    image_token = model.family.image_token(model.checkpoint)
    answers = np.zeros((len(pixels), len(prompts.sequences), 2), dtype=np.float32)
    with torch.inference_mode():
        for index, picture in enumerate(pixels):
            values = torch.from_numpy(picture[None] if model.family.batched_pixels else picture)
            with _tower_once(model.model.model):
                for number, sequence in enumerate(prompts.sequences):
                    tokens = np.asarray(sequence, dtype=np.int64)[None]
                    extras = {
                        k: torch.from_numpy(v) for k, v in model.family.reference_extras(tokens, image_token).items()
                    }
                    with nullcontext() if last is None else _replaced(model.model.get_input_embeddings(), last[number]):
                        output = model.model(
                            input_ids=torch.from_numpy(tokens),
                            attention_mask=torch.ones(tokens.shape, dtype=torch.int64),
                            pixel_values=values,
                            use_cache=False,
                            logits_to_keep=1,
                            **shapes,
                            **extras,
                        )
                    answers[index, number] = output.logits[0, -1, [prompts.yes, prompts.no]].numpy()
    return answers


def ask_soft(model: Loaded, pixels: NDArray[np.float32], bare: Prompts, soft: torch.Tensor) -> NDArray[np.float32]:
    """Like `ask`, with one-token questions `soft` [K, D] behind what the `bare` prompts share."""
    prefix = lay.split(bare.sequences).prefix
    return ask(model, pixels, replace(bare, sequences=((*prefix, bare.yes),) * len(soft)), last=soft)


@contextmanager
def _tower_once(inner: Any) -> Iterator[None]:  # noqa: ANN401 - transformers' untyped model
    """While it lasts, the tower runs once for a picture, whatever is asked: most of the reference's time."""
    images_of = getattr(inner, "get_image_features", None)
    if images_of is None:
        yield
        return
    seen: list[Any] = []

    def once(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - likewise
        if not seen:
            seen.append(images_of(*arguments, **options))
        return seen[0]

    inner.get_image_features = once
    try:
        yield
    finally:
        del inner.get_image_features


@contextmanager
def _replaced(embed: torch.nn.Module, vector: torch.Tensor) -> Iterator[None]:
    """While it lasts, the embedding of a prompt's last token is `vector` [D]."""

    def put(_module: object, _given: object, embedded: torch.Tensor) -> torch.Tensor:
        return torch.cat([embedded[:, :-1], vector.to(embedded.dtype).expand(len(embedded), 1, -1)], dim=1)

    handle = embed.register_forward_hook(put)
    try:
        yield
    finally:
        handle.remove()


def generate(
    model: Loaded, pixels: NDArray[np.float32], sequence: Sequence[int], *, ends: Sequence[int], tokens: int
) -> tuple[int, ...]:
    """The tokens that follow a prompt one by one, the best each time, by one whole forward pass each.

    Args:
        model: the loaded checkpoint.
        pixels: of one picture, a row of what `process` gives.
        sequence: the prompt, image tokens written out.
        ends: tokens that end the sentence.
        tokens: most tokens.
    """
    shapes = _shapes(model)
    image_token = model.family.image_token(model.checkpoint)
    values = torch.from_numpy(pixels[None] if model.family.batched_pixels else pixels)
    generated: list[int] = []
    with torch.inference_mode():
        while len(generated) < tokens:
            whole = np.asarray([*sequence, *generated], dtype=np.int64)[None]
            extras = {k: torch.from_numpy(v) for k, v in model.family.reference_extras(whole, image_token).items()}
            output = model.model(
                input_ids=torch.from_numpy(whole),
                attention_mask=torch.ones(whole.shape, dtype=torch.int64),
                pixel_values=values,
                use_cache=False,
                logits_to_keep=1,
                **shapes,
                **extras,
            )
            best = int(output.logits[0, -1].argmax())
            if best in ends:
                break
            generated.append(best)
    return tuple(generated)


def _shapes(model: Loaded) -> dict[str, Any]:
    """The picture's shape as the image processor reports it, for the families that need it."""
    spec = model.family.pixels(model.checkpoint)
    blank = np.zeros((spec.height, spec.width, 3), dtype=np.uint8)
    found = _processor(model.checkpoint.folder)(images=_picture(blank), return_tensors="pt", **_options(model))
    return {name: value for name, value in found.items() if name in {"image_sizes", "image_grid_thw"}}


def _options(model: Loaded) -> dict[str, Any]:
    spec = model.family.pixels(model.checkpoint)
    return model.family.processor_call(spec)


def _picture(frame: NDArray[np.uint8]) -> Any:  # noqa: ANN401 - a PIL image
    return Image.fromarray(frame)


@lru_cache(maxsize=2)
def _processor(folder: Path) -> Any:  # noqa: ANN401 - transformers ships no types
    return read_image_processor(folder)

"""A loaded dual encoder: transformers' own model, the module built from it, and the reference that checks the module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from exporters.checkpoint.whole import read_image_processor
from exporters.families.tower import FrameToEvidence, Tower, WordsHead, layer_index
from exporters.model import Checkpoint, Model, PixelSpec, Question

BATCH = 16  # frames per forward pass of the float checkpoint


class Facts(Protocol):
    """What it needs to know of its family."""

    @property
    def naflex(self) -> bool:
        """Whether the patches come ready-cut."""
        ...

    @property
    def pad_to_max(self) -> bool:
        """Whether the text tower takes text padded as in training."""
        ...

    @property
    def frame_scale(self) -> int:
        """The frame's size over the checkpoint's."""
        ...

    @property
    def class_tokens(self) -> int:
        """Tokens of the vision tower that represent no patch."""
        ...


@dataclass(frozen=True, slots=True)
class DualEncoderModel(Model):
    """A loaded dual encoder: transformers' own model, and the pieces that this project recombines."""

    family: Facts
    checkpoint: Checkpoint
    spec: PixelSpec
    patch: int
    model: Any  # transformers ships no types for it
    tokenizer: Any

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length text embeddings [N, D]."""
        with torch.inference_mode():
            found = self.model.get_text_features(**self._tokens(texts))
            found = getattr(found, "pooler_output", found)
            unit: NDArray[np.float32] = torch.nn.functional.normalize(found, dim=-1).numpy()
        return unit

    def _tokens(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Token ids [N, L] and, where the text tower was trained with one, the attention mask."""
        length = int(self.model.config.text_config.max_position_embeddings)
        padding = "max_length" if self.family.pad_to_max else True
        tokens = self.tokenizer(list(texts), padding=padding, max_length=length, truncation=True, return_tensors="pt")
        # Trained without a mask, the padding is attended to; a tokenizer that offers one is no reason to hide it.
        names = ("input_ids",) if self.family.pad_to_max else ("input_ids", "attention_mask")
        return {name: tokens[name] for name in names}

    def public_inputs(self, frames: NDArray[np.uint8], phrases: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Normalised pictures, and the phrases as the text tower was trained to read them: without a mask, nothing is hidden."""
        pixels = self._vision_inputs(self.normalise(frames))["pixel_values"]
        tokens = self._tokens(phrases)
        mask = tokens.get("attention_mask", torch.ones_like(tokens["input_ids"]))
        return {
            "pixel_values": pixels.numpy(),
            "input_ids": tokens["input_ids"].numpy().astype(np.int64),
            "attention_mask": mask.numpy().astype(np.int64),
        }

    def contrast(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        """Text constants [D, K]: the logit scale times (fault direction minus normal direction).

        Each direction is the mean of the phrasings' unit embeddings, so one odd phrasing weighs little, and every fault costs one column.
        """
        scale = float(self.model.logit_scale.exp())
        columns = [
            self.embed(question.words).mean(axis=0) - self.embed(question.normal_words).mean(axis=0)
            for question in questions
        ]
        return np.asarray(scale * np.stack(columns, axis=1), np.float32)

    def graph(self, questions: Sequence[Question], head: nn.Module | None) -> nn.Module:
        """Vision tower with the normalisation folded into its patch embedding, then words or the fitted head."""
        depths: Sequence[float] = () if head is None else head.depths  # type: ignore[assignment] # heads carry the depths they read
        tower = Tower(self.model, self.spec, self.patch, depths, self.family.frame_scale)
        return FrameToEvidence(tower, head if head is not None else WordsHead(self.contrast(questions))).eval()

    def worded(self, questions: Sequence[Question]) -> nn.Module:
        """One product with the compiled text constants."""
        return WordsHead(self.contrast(questions))

    def features(self, frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        """Pooled and patch features of frames, in float16 to spare memory."""
        tower = Tower(self.model, self.spec, self.patch, depths, self.family.frame_scale).eval()
        batches = [torch.from_numpy(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH)]
        with torch.inference_mode():
            parts = [[part.half() for part in tower(batch)] for batch in batches]
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def reference(
        self, pixels: NDArray[np.float32], questions: Sequence[Question], head: nn.Module | None
    ) -> NDArray[np.float32]:
        """Evidence by transformers' own forward pass: phrasing by phrasing for words, hidden states for a fitted head."""
        score = self._reference_words(questions) if head is None else self._reference_fitted(head)
        batches = [score(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
        return np.concatenate(batches).astype(np.float32)

    def normalise(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(x / 255 - mean) / std, channels first: float32 [N, 3, H, W]."""
        mean, std = (np.asarray(values, dtype=np.float32) for values in (self.spec.mean, self.spec.std))
        return np.asarray(((frames.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2), np.float32)

    def process(self, picture: Path) -> NDArray[np.float32]:
        """Pixel values by the checkpoint's own processor; NaFlex is resized as the daemon does, having no fixed size."""
        with Image.open(picture) as opened:
            image = opened.convert("RGB")
        width, height = self.spec.width * self.family.frame_scale, self.spec.height * self.family.frame_scale
        if self.family.naflex:
            size = (width, height)
            return self.normalise(np.asarray(image.resize(size, Image.Resampling.BILINEAR))[None])
        processor = read_image_processor(self.checkpoint.folder)
        cut, whole = {"width": width, "height": height}, {"size": {"width": width, "height": height}}
        larger: dict[str, Any] = (
            {"size": {"shortest_edge": height}, "crop_size": cut} if self.spec.resize == "centre_crop" else whole
        )
        larger = larger if self.family.frame_scale > 1 else {}
        found: NDArray[np.float32] = np.asarray(
            processor(images=image, return_tensors="np", **larger)["pixel_values"], np.float32
        )
        return found

    def notes(self, questions: Sequence[Question]) -> tuple[str, ...]:
        """Phrasings that are longer than the text tower reads: only their beginning is used."""
        most = int(self.model.config.text_config.max_position_embeddings)
        found: dict[str, int] = {}
        for phrase in (phrase for question in questions for phrase in (*question.words, *question.normal_words)):
            tokens = len(self.tokenizer(phrase, padding=False, truncation=False)["input_ids"])
            if tokens > most:
                found[phrase] = tokens
        return tuple(
            f"CUT OFF: {phrase!r} has {tokens} tokens and the checkpoint reads {most}; shorten it, the rest is not asked."
            for phrase, tokens in found.items()
        )

    def _reference_words(self, questions: Sequence[Question]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Ask each phrasing by itself and average its logits: the form the one-matmul graph must equal."""
        asked = [(self.embed(question.words), self.embed(question.normal_words)) for question in questions]
        scale = float(self.model.logit_scale.exp())

        def score(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                found = self.model.get_image_features(**self._vision_inputs(pixels))
                found = getattr(found, "pooler_output", found)
                image = torch.nn.functional.normalize(found, dim=-1).numpy()
            columns = [
                (scale * image @ fault.T).mean(axis=1) - (scale * image @ normal.T).mean(axis=1)
                for fault, normal in asked
            ]
            return np.stack(columns, axis=1)

        return score

    def _reference_fitted(self, head: nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        def score(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                seen = self.model.vision_model(**self._vision_inputs(pixels), output_hidden_states=True)
                pooled = self.model.get_image_features(**self._vision_inputs(pixels))
                pooled = getattr(pooled, "pooler_output", pooled)
                count = len(seen.hidden_states) - 1
                skip = self.family.class_tokens
                depths: Sequence[float] = head.depths  # type: ignore[assignment] # heads carry the depths they read
                layers = [seen.hidden_states[layer_index(depth, count)][:, skip:] for depth in depths]
                mean, std = (torch.tensor(values)[None, :, None, None] for values in (self.spec.mean, self.spec.std))
                frame = ((torch.from_numpy(pixels) * std + mean) * 255).permute(0, 2, 3, 1)
                unit = torch.nn.functional.normalize(pooled, dim=-1)
                extra = (frame,) if getattr(head, "sees_frame", False) else ()
                evidence: NDArray[np.float32] = head(unit, *layers, *extra).numpy()
            return evidence

        return score

    def _vision_inputs(self, pixels: NDArray[np.float32]) -> dict[str, Tensor]:
        """The vision tower's keyword arguments; NaFlex takes flattened patches, a mask and the grid."""
        values = torch.from_numpy(pixels)
        if self.family.frame_scale > 1:
            values = torch.nn.functional.avg_pool2d(values, self.family.frame_scale)
        if not self.family.naflex:
            return {"pixel_values": values}
        count, _, height, width = values.shape
        rows, columns, side = height // self.patch, width // self.patch, self.patch
        patches = values.reshape(count, 3, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
        return {
            "pixel_values": patches.reshape(count, rows * columns, -1),
            "pixel_attention_mask": torch.ones(count, rows * columns, dtype=torch.int64),
            "spatial_shapes": torch.tensor([[rows, columns]] * count),
        }

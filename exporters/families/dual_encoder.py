"""What SigLIP, SigLIP 2 and CLIP share: two towers, compared by the cosine of their embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import ExportError
from exporters.families.base import Checkpoint, Geometry, Model, PixelSpec, Question

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

BATCH = 16  # frames per forward pass of the float checkpoint


@dataclass(frozen=True, slots=True)
class DualEncoder:
    """One dual-encoder family, told apart by ``model_type`` and by whether the patches come ready-cut (NaFlex)."""

    name: str
    model_type: str
    naflex: bool
    pad_to_max: bool  # the text tower pools its last position, so it wants text padded as in training
    frame_scale: int = 1  # the frame's size over the checkpoint's

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint is of this family."""
        weight = checkpoint.shapes.get(_PATCH_WEIGHT)
        return checkpoint.config.get("model_type") == self.model_type and (
            weight is not None and (len(weight) == 2) == self.naflex
        )

    def pixels(self, checkpoint: Checkpoint) -> PixelSpec:
        """Size, resize rule, mean and standard deviation from the processor's settings."""
        rule = checkpoint.preprocessor
        factor = rule.get("rescale_factor", 1 / 255)
        if not rule.get("do_rescale", 1) or not math.isclose(factor, 1 / 255, rel_tol=1e-6):
            raise ExportError(f"{checkpoint.folder}: the processor must rescale by 1/255.")
        normalise = rule.get("do_normalize", 1)
        mean = _three(rule.get("image_mean", 0.5)) if normalise else (0.0, 0.0, 0.0)
        std = _three(rule.get("image_std", 0.5)) if normalise else (1.0, 1.0, 1.0)
        width, height = self._size(checkpoint)
        crop = bool(rule.get("do_center_crop"))
        size = rule.get("size") or {}
        if crop and size.get("shortest_edge", height) not in {height, width}:
            raise ExportError(
                f"{checkpoint.folder}: it scales to {size['shortest_edge']} px and cuts {width} x {height}; the daemon "
                "scales the short side to the cut. Set size.shortest_edge to the crop size."
            )
        return PixelSpec(width=width, height=height, resize="centre_crop" if crop else "stretch", mean=mean, std=std)

    def geometry(self, checkpoint: Checkpoint, faults: int) -> Geometry:
        """Count the vision tower's weights from the file's header, and its work from its shapes."""
        vision = {name: shape for name, shape in checkpoint.shapes.items() if name.startswith(_VISION)}
        matmul = sum(math.prod(shape) for name, shape in vision.items() if len(shape) == 2 and _is_product(name))
        spec, patch = self.pixels(checkpoint), self._patch(checkpoint)
        tokens = (spec.width // patch) * (spec.height // patch) + (self.model_type == "clip")
        hidden = vision[_PATCH_WEIGHT][0]
        layers = 1 + max(int(name.split(".layers.")[1].split(".")[0]) for name in vision if ".layers." in name)
        in_layers = sum(math.prod(shape) for name, shape in vision.items() if len(shape) == 2 and ".layers." in name)
        flop = 2.0 * tokens * (in_layers + math.prod(vision[_PATCH_WEIGHT])) + layers * 4.0 * tokens * tokens * hidden
        others = sum(math.prod(shape) for shape in vision.values()) - matmul + faults * hidden
        return Geometry(matmul, others, flop)

    def load(self, checkpoint: Checkpoint) -> Model:
        """Load weights and tokenizer from the folder alone."""
        import torch  # noqa: PLC0415 - plan must start without torch
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - likewise
        from transformers.utils import logging  # noqa: PLC0415 - likewise

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            model = AutoModel.from_pretrained(
                checkpoint.folder, local_files_only=True, dtype=torch.float32, attn_implementation="eager"
            )
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ExportError(f"{checkpoint.folder} does not load: {error}") from error
        return DualEncoderModel(
            family=self,
            checkpoint=checkpoint,
            spec=self.pixels(checkpoint),
            patch=self._patch(checkpoint),
            model=model.eval().requires_grad_(requires_grad=False),
            tokenizer=tokenizer,
        )

    def _size(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """(width, height): of the cut if it cuts, of NaFlex the square that uses the patch budget, else of the resize."""
        rule = checkpoint.preprocessor
        if self.naflex:
            side = math.isqrt(int(rule.get("max_num_patches", 256))) * self._patch(checkpoint)
            return side, side
        wanted = rule.get("crop_size") if rule.get("do_center_crop") else rule.get("size")
        if isinstance(wanted, int):
            return wanted, wanted
        if isinstance(wanted, dict) and {"height", "width"} <= wanted.keys():
            return int(wanted["width"]), int(wanted["height"])
        raise ExportError(f"{checkpoint.folder}: the processor names no fixed width and height (it has {wanted!r}).")

    @staticmethod
    def _patch(checkpoint: Checkpoint) -> int:
        shape = checkpoint.shapes[_PATCH_WEIGHT]
        return shape[2] if len(shape) == 4 else math.isqrt(shape[1] // 3)


@dataclass(frozen=True, slots=True)
class DualEncoderModel:
    """A loaded dual encoder: transformers' own model, and the pieces that this project recombines."""

    family: DualEncoder
    checkpoint: Checkpoint
    spec: PixelSpec
    patch: int
    model: Any  # transformers ships no types for it
    tokenizer: Any

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length text embeddings [N, D]."""
        import torch  # noqa: PLC0415 - plan must start without torch

        length = int(self.model.config.text_config.max_position_embeddings)
        padding = "max_length" if self.family.pad_to_max else True
        tokens = self.tokenizer(list(texts), padding=padding, max_length=length, truncation=True, return_tensors="pt")
        if (
            self.family.pad_to_max
        ):  # trained without a mask: the padding is seen, and a tokenizer that offers one is no reason to hide it
            tokens = {"input_ids": tokens["input_ids"]}
        with torch.inference_mode():
            found = self.model.get_text_features(**tokens)
            found = getattr(found, "pooler_output", found)
            unit: NDArray[np.float32] = torch.nn.functional.normalize(found, dim=-1).numpy()
        return unit

    def contrast(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        """Text constants [D, K]: the logit scale times (fault direction minus normal direction).

        Each direction is the mean of the phrasings' unit embeddings, so one odd phrasing weighs little, and every fault costs one column.
        """
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none

        scale = float(self.model.logit_scale.exp())
        columns = [
            self.embed(question.words).mean(axis=0) - self.embed(question.normal_words).mean(axis=0)
            for question in questions
        ]
        return np.asarray(scale * np.stack(columns, axis=1), np.float32)

    def graph(self, questions: Sequence[Question], head: nn.Module | None) -> nn.Module:
        """Vision tower with the normalisation folded into its patch embedding, then words or the fitted head."""
        from exporters.families.tower import FrameToEvidence, Tower, WordsHead  # noqa: PLC0415 - imports torch

        depths: Sequence[float] = () if head is None else head.depths  # type: ignore[assignment] # heads carry the depths they read
        tower = Tower(self.model, self.spec, self.patch, depths, self.family.frame_scale)
        return FrameToEvidence(tower, head if head is not None else WordsHead(self.contrast(questions))).eval()

    def features(self, frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        """Pooled and patch features of frames, in float16 to spare memory."""
        import torch  # noqa: PLC0415 - plan must start without torch

        from exporters.families.tower import Tower  # noqa: PLC0415 - imports torch

        tower = Tower(self.model, self.spec, self.patch, depths, self.family.frame_scale).eval()
        batches = [torch.from_numpy(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH)]
        with torch.inference_mode():
            parts = [[part.half() for part in tower(batch)] for batch in batches]
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def reference(
        self, pixels: NDArray[np.float32], questions: Sequence[Question], head: nn.Module | None
    ) -> NDArray[np.float32]:
        """Evidence by transformers' own forward pass: phrasing by phrasing for words, hidden states for a fitted head."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none

        score = self._reference_words(questions) if head is None else self._reference_fitted(head)
        batches = [score(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)]
        return np.concatenate(batches).astype(np.float32)

    def normalise(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(x / 255 - mean) / std, channels first: float32 [N, 3, H, W]."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none

        mean, std = (np.asarray(values, dtype=np.float32) for values in (self.spec.mean, self.spec.std))
        return np.asarray(((frames.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2), np.float32)

    def process(self, picture: Path) -> NDArray[np.float32]:
        """Pixel values by the checkpoint's own processor; NaFlex is resized as the daemon does, having no fixed size."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none
        from PIL import Image  # noqa: PLC0415 - the reference processor reads pictures with it
        from transformers import AutoImageProcessor  # noqa: PLC0415 - imports torch

        with Image.open(picture) as opened:
            image = opened.convert("RGB")
        width, height = self.spec.width * self.family.frame_scale, self.spec.height * self.family.frame_scale
        if self.family.naflex:
            size = (width, height)
            return self.normalise(np.asarray(image.resize(size, Image.Resampling.BILINEAR))[None])
        processor = AutoImageProcessor.from_pretrained(self.checkpoint.folder, local_files_only=True)
        cut, whole = {"width": width, "height": height}, {"size": {"width": width, "height": height}}
        larger: dict[str, Any] = (
            {"size": {"shortest_edge": height}, "crop_size": cut} if self.spec.resize == "centre_crop" else whole
        )
        larger = larger if self.family.frame_scale > 1 else {}
        found: NDArray[np.float32] = np.asarray(
            processor(images=image, return_tensors="np", **larger)["pixel_values"], np.float32
        )
        return found

    def _reference_words(self, questions: Sequence[Question]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """Ask each phrasing by itself and average its logits: the form the one-matmul graph must equal."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none
        import torch  # noqa: PLC0415 - plan must start without torch

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
        import torch  # noqa: PLC0415 - plan must start without torch

        from exporters.families.tower import layer_index  # noqa: PLC0415 - imports torch

        def score(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                seen = self.model.vision_model(**self._vision_inputs(pixels), output_hidden_states=True)
                pooled = self.model.get_image_features(**self._vision_inputs(pixels))
                pooled = getattr(pooled, "pooler_output", pooled)
                count = len(seen.hidden_states) - 1
                skip = 1 if self.family.model_type == "clip" else 0
                depths: Sequence[float] = head.depths  # type: ignore[assignment] # heads carry the depths they read
                layers = [seen.hidden_states[layer_index(depth, count)][:, skip:] for depth in depths]
                mean, std = (torch.tensor(values)[None, :, None, None] for values in (self.spec.mean, self.spec.std))
                frame = ((torch.from_numpy(pixels) * std + mean) * 255).permute(0, 2, 3, 1)
                unit = torch.nn.functional.normalize(pooled, dim=-1)
                evidence: NDArray[np.float32] = head(unit, *layers, frame).numpy()
            return evidence

        return score

    def _vision_inputs(self, pixels: NDArray[np.float32]) -> dict[str, Tensor]:
        """The vision tower's keyword arguments; NaFlex wants flattened patches, a mask and the grid."""
        import torch  # noqa: PLC0415 - plan must start without torch

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


_VISION = ("vision_model.", "visual_projection.")
_PATCH_WEIGHT = "vision_model.embeddings.patch_embedding.weight"


def _is_product(name: str) -> bool:
    """Whether a two-dimensional weight becomes a matrix product (not a table that is looked up or added)."""
    return not name.endswith(("position_embedding.weight", "patch_embedding.weight"))


def _three(value: float | Sequence[float]) -> tuple[float, float, float]:
    if isinstance(value, int | float):
        return (float(value),) * 3
    red, green, blue = value
    return float(red), float(green), float(blue)

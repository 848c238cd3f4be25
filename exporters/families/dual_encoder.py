"""What SigLIP, SigLIP 2 and CLIP share, read without torch: two towers, compared by the cosine of their embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from edge.errors import ExportError
from exporters.checkpoint.folder import normalisation
from exporters.checkpoint.whole import load_whole, read_tokenizer
from exporters.model import Checkpoint, Family, Geometry, Model, PixelSpec
from exporters.recipe import Recipe


@dataclass(frozen=True, slots=True)
class DualEncoder(Family):
    """One dual-encoder family, identified by ``model_type`` and by whether the patches come ready-cut (NaFlex)."""

    name: str = field()  # a bare annotation would take the seam's property for its default
    model_type: str
    naflex: bool
    pad_to_max: bool  # the text tower pools its last position, so its text is padded as in training
    frame_scale: int = 1  # the frame's size over the checkpoint's

    @property
    def crosschecks(self) -> bool:
        """Optimum exports SigLIP and CLIP; it does not know the NaFlex form."""
        return not self.naflex

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint is of this family."""
        weight = checkpoint.shapes.get(_PATCH_WEIGHT)
        return checkpoint.config.get("model_type") == self.model_type and (
            weight is not None and (len(weight) == 2) == self.naflex
        )

    def pixels(self, checkpoint: Checkpoint) -> PixelSpec:
        """Size, resize rule, mean and standard deviation from the processor's settings."""
        rule = checkpoint.preprocessor
        mean, std = normalisation(checkpoint)
        width, height = self._size(checkpoint)
        self._check_positions(checkpoint, width, height)
        crop = bool(rule.get("do_center_crop"))
        size = rule.get("size") or {}
        # Older processors write the short edge alone.
        short = size if isinstance(size, int) else size.get("shortest_edge", height)
        if crop and short not in {height, width}:
            raise ExportError(
                f"{checkpoint.folder}: it scales to {short} px and cuts {width} x {height}; the daemon "
                "scales the short side to the cut. Set size.shortest_edge to the crop size."
            )
        return PixelSpec(width=width, height=height, resize="centre_crop" if crop else "stretch", mean=mean, std=std)

    def asked(self, recipe: Recipe) -> DualEncoder:
        """This family with a frame of the size in the recipe's [head]. Raises ConfigError."""
        Family.asked(self, recipe)
        return replace(self, frame_scale=recipe.head.frame_scale)

    def geometry(self, checkpoint: Checkpoint, faults: int) -> Geometry:
        """Count the vision tower's weights from the file's header, and its work from its shapes."""
        vision = {name: shape for name, shape in checkpoint.shapes.items() if name.startswith(_VISION)}
        matmul = sum(math.prod(shape) for name, shape in vision.items() if len(shape) == 2 and _is_product(name))
        spec, patch = self.pixels(checkpoint), self._patch(checkpoint)
        tokens = (spec.width // patch) * (spec.height // patch) + self.class_tokens
        hidden = vision[_PATCH_WEIGHT][0]
        layers = len({name.split(".layers.")[1].split(".")[0] for name in vision if ".layers." in name})
        in_layers = sum(math.prod(shape) for name, shape in vision.items() if len(shape) == 2 and ".layers." in name)
        flop = 2.0 * tokens * (in_layers + math.prod(vision[_PATCH_WEIGHT])) + layers * 4.0 * tokens * tokens * hidden
        others = sum(math.prod(shape) for shape in vision.values()) - matmul + faults * hidden
        return Geometry(matmul, others, flop)

    @property
    def class_tokens(self) -> int:
        """Tokens of the vision tower that represent no patch."""
        return int(self.model_type == "clip")

    def load(self, checkpoint: Checkpoint) -> Model:
        """Load weights and tokenizer from the folder alone. Raises ExportError."""
        from exporters.families.dual_encoder_model import DualEncoderModel  # noqa: PLC0415 - imports torch, and plan must start without

        return DualEncoderModel(
            family=self,
            checkpoint=checkpoint,
            spec=self.pixels(checkpoint),
            patch=self._patch(checkpoint),
            model=load_whole(checkpoint.folder, "AutoModel"),
            tokenizer=read_tokenizer(checkpoint.folder),
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

    def _check_positions(self, checkpoint: Checkpoint, width: int, height: int) -> None:
        """A tower of one resolution has a position for each of its patches and no other. Raises ExportError."""
        positions = checkpoint.shapes.get(_POSITION_WEIGHT)
        if self.naflex or positions is None:
            return
        patch, wanted = self._patch(checkpoint), positions[0] - self.class_tokens
        if (width // patch) * (height // patch) != wanted or width % patch or height % patch:
            side = math.isqrt(wanted) * patch
            raise ExportError(
                f"{checkpoint.folder}: the processor makes {width} x {height} px, and the tower has positions for {wanted} patches of {patch} px, "
                f"which is {side} x {side}: use the processor files that were published with these weights."
            )

    @staticmethod
    def _patch(checkpoint: Checkpoint) -> int:
        shape = checkpoint.shapes[_PATCH_WEIGHT]
        return shape[2] if len(shape) == 4 else math.isqrt(shape[1] // 3)


_VISION = ("vision_model.", "visual_projection.")
_POSITION_WEIGHT = "vision_model.embeddings.position_embedding.weight"
_PATCH_WEIGHT = "vision_model.embeddings.patch_embedding.weight"


def _is_product(name: str) -> bool:
    """Whether a two-dimensional weight becomes a matrix product (not a table that is looked up or added)."""
    return not name.endswith(("position_embedding.weight", "patch_embedding.weight"))

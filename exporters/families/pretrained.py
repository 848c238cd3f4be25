"""A pretrained image tower: patch features of several layers for heads and, where it has them, words.

Its folder is written by `edge-export tower`: the public layout of its architecture, with a section ``tower`` in config.json.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import ExportError
from exporters.model import Checkpoint, Family, Geometry, Model, PixelSpec, Question
from exporters.recipe import Recipe
from exporters.towers import facts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from exporters.towers.loaded import LoadedTower
    from exporters.towers.words import Words

# Frames per forward pass of the float checkpoint. Maps of more exceed 32 MiB, which the C library maps anew each time: of 16 frames half of the
# published pass was the kernel's, and a frame took 107 ms of the processor instead of 54.
BATCH = 4
SECTION = "tower"  # of config.json


@dataclass(frozen=True, slots=True)
class Pretrained(Family):
    """The family of all such towers."""

    name: str = field(default="pretrained-tower")
    frame_scale: int = 1  # the frame's size over the checkpoint's

    @property
    def teaches(self) -> bool:
        """Its patch features are what a student learns."""
        return True

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether `edge-export tower` wrote it."""
        return isinstance(checkpoint.config.get(SECTION), dict) and facts.kind_of(checkpoint.config) is not None

    def completed(self, recipe: Recipe, checkpoint: Checkpoint) -> Recipe:
        """With the checkpoint's licence, and the layers that its heads read, each at the exact depth of the layer that is meant. Raises ExportError.

        Two heads that mean the same layers then ask for the same depths, and the tower is run once for both.
        """
        defaults: dict[str, Any] = {}
        if "licence" not in recipe.model_fields_set:
            defaults["licence"] = licence(checkpoint.config) or recipe.licence
        for name, section, own in (("head", recipe.head, False), ("unnamed", recipe.unnamed, not self.cut(checkpoint))):
            named = own or "layers" in section.model_fields_set
            layers = self._exact(checkpoint, section.layers) if named else self.usual_depths(checkpoint)
            defaults[name] = section.model_copy(update={"layers": layers})
        return recipe.model_copy(update=defaults)

    def asked(self, recipe: Recipe) -> Pretrained:
        """This family with a frame of the size in the recipe's [head]. Raises ConfigError."""
        Family.asked(self, recipe)
        return replace(self, frame_scale=recipe.head.frame_scale)

    def pixels(self, checkpoint: Checkpoint) -> PixelSpec:
        """Size, mean and standard deviation from preprocessor_config.json; frames are stretched. Raises ExportError."""
        rule = checkpoint.preprocessor
        size = rule.get("size")
        try:
            height, width = int(size["height"]), int(size["width"])  # type: ignore[index] # what is wrong with it is reported below
            mean, std = (
                (float(rule[key][0]), float(rule[key][1]), float(rule[key][2])) for key in ("image_mean", "image_std")
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ExportError(
                f"{checkpoint.folder / 'preprocessor_config.json'} lacks size, image_mean or image_std; make the checkpoint "
                "again with edge-export tower."
            ) from error
        if min(height, width) < 1 or min(std) <= 0:
            raise ExportError(f"{checkpoint.folder / 'preprocessor_config.json'}: size and image_std must be positive.")
        return PixelSpec(width=width, height=height, resize="stretch", mean=mean, std=std)

    def geometry(self, checkpoint: Checkpoint, faults: int) -> Geometry:
        """Count weights from the file's header, and the work from their shapes."""
        kind, spec = _kind(checkpoint), self.pixels(checkpoint)
        products = sum(math.prod(s) for s in checkpoint.shapes.values() if _is_product(s))
        others = checkpoint.parameters - products + faults * max(s[0] for s in checkpoint.shapes.values() if s)
        return Geometry(products, others, 2.0 * facts.multiplies(checkpoint.shapes, kind, spec.height, spec.width))

    def usual_depths(self, checkpoint: Checkpoint) -> tuple[float, ...]:
        """The depths that a head reads where the recipe names none. Raises ExportError."""
        count = _layers(checkpoint)
        layers = checkpoint.config[SECTION].get("layers")
        if not isinstance(layers, list) or not all(isinstance(one, int) and 0 <= one <= count for one in layers):
            raise ExportError(
                f"{checkpoint.folder / 'config.json'}: tower.layers must be layers of 0 to {count}, not {layers!r}."
            )
        return tuple(layer / count for layer in layers)

    @staticmethod
    def _exact(checkpoint: Checkpoint, depths: Sequence[float]) -> tuple[float, ...]:
        """The depths of the layers that are nearest."""
        count = _layers(checkpoint)
        return tuple(round(depth * count) / count for depth in depths)

    def cut(self, checkpoint: Checkpoint) -> bool:
        """Whether the tower ends below its last layer."""
        return checkpoint.config[SECTION].get("depth") is not None

    def load(self, checkpoint: Checkpoint) -> Model:
        """Load the weights, and the words where there are any. Raises ExportError."""
        from exporters.towers import loaded, words  # noqa: PLC0415 - plan must start without torch

        spec = self.pixels(checkpoint)
        section = checkpoint.config[SECTION]
        tower = loaded.load(checkpoint.folder, checkpoint.config, spec.height, spec.width)
        found = words.load(checkpoint.folder, section["words"]) if "words" in section else None
        return PretrainedModel(checkpoint, spec, tower, section.get("depth"), found, self.frame_scale)


@dataclass(frozen=True, slots=True)
class PretrainedModel(Model):
    """A loaded tower, with or without words."""

    checkpoint: Checkpoint
    spec: PixelSpec
    tower: LoadedTower
    depth: int | None  # the last layer that is computed; none: all
    words: Words | None
    frame_scale: int

    def graph(self, questions: Sequence[Question], head: nn.Module | None) -> nn.Module:
        """Tower and fitted head, or tower, image side and one column per fault."""
        from exporters.families.tower import FrameToEvidence  # noqa: PLC0415 - imports torch

        if head is not None:
            return FrameToEvidence(self._frames(self._layers(head)), head).eval()
        from exporters.towers.words import FrameToWords  # noqa: PLC0415 - imports torch

        words = self._worded()
        return FrameToWords(self._frames(words.layers), words.image, self._contrast(words, questions)).eval()

    def features(self, frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        """Pooled and patch features of frames, in float16 to spare memory."""
        import torch  # noqa: PLC0415 - plan must start without torch

        tower = self._frames(self._at(depths))
        with torch.inference_mode():
            parts = [
                [part.half() for part in tower(torch.from_numpy(frames[start : start + BATCH]))]
                for start in range(0, len(frames), BATCH)
            ]
        return [torch.cat(column) for column in zip(*parts, strict=True)]

    def reference(
        self, pixels: NDArray[np.float32], questions: Sequence[Question], head: nn.Module | None
    ) -> NDArray[np.float32]:
        """Evidence by the architecture's published forward pass: phrasing by phrasing for words, layer by layer for a fitted head."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none
        import torch  # noqa: PLC0415 - likewise

        score = self._reference_words(questions) if head is None else self._reference_fitted(head)
        with torch.inference_mode():
            batches = [score(torch.from_numpy(pixels[at : at + BATCH])) for at in range(0, len(pixels), BATCH)]
        return np.concatenate(batches).astype(np.float32)

    def normalise(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(x / 255 - mean) / std, channels first: float32 [N, 3, H, W]."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none

        mean, std = (np.asarray(values, dtype=np.float32) for values in (self.spec.mean, self.spec.std))
        return np.asarray(((frames.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2), np.float32)

    def process(self, picture: Path) -> NDArray[np.float32]:
        """Pixel values as these towers are usually fed: bicubic resizing by Pillow."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none
        from PIL import Image  # noqa: PLC0415 - likewise

        size = (self.spec.width * self.frame_scale, self.spec.height * self.frame_scale)
        with Image.open(picture) as opened:
            resized = opened.convert("RGB").resize(size, Image.Resampling.BICUBIC)
        return self.normalise(np.asarray(resized)[None])

    def _frames(self, layers: Sequence[int]) -> Any:  # noqa: ANN401 - FrameTower, whose module imports torch
        from exporters.towers.backbone import FrameTower  # noqa: PLC0415 - imports torch

        spec = self.spec
        return FrameTower(
            self.tower.backbone, spec.mean, spec.std, layers,
            depth=self.depth, scale=self.frame_scale, common_grid=False,
        ).eval()  # fmt: skip

    def _layers(self, head: nn.Module) -> tuple[int, ...]:
        return self._at(head.depths)  # type: ignore[arg-type] # heads carry the depths they read

    def _at(self, depths: Sequence[float]) -> tuple[int, ...]:
        """Layers by depth. Raises ExportError where the tower is cut below one."""
        from exporters.families.tower import layer_index  # noqa: PLC0415 - imports torch

        count = self.tower.backbone.layers
        layers = tuple(layer_index(depth, count) for depth in depths)
        if self.depth is not None and max(layers, default=0) > self.depth:
            raise ExportError(
                f"{self.checkpoint.folder} ends after layer {self.depth} of {count}: take head.layers of at most {self.depth / count:.3f}."
            )
        return layers

    def _worded(self) -> Words:
        if self.words is None:
            raise ExportError(
                f"{self.checkpoint.folder} is an image tower without words: set head.kind = 'fitted' and give pictures, or take a "
                "checkpoint that has words."
            )
        return self.words

    @staticmethod
    def _contrast(words: Words, questions: Sequence[Question]) -> NDArray[np.float32]:
        """Text constants [W, K]: the scale times (mean of the fault's phrasings minus mean of the normal state's)."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none

        columns = [words.text(one.words).mean(axis=0) - words.text(one.normal_words).mean(axis=0) for one in questions]
        return np.asarray(words.scale * np.stack(columns, axis=1), np.float32)

    def _published(self, pixels: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Unit-length pooled and maps as `FrameTower.see` gives them, from the published forward pass."""
        from torch import nn  # noqa: PLC0415 - plan must start without torch

        pixels = nn.functional.avg_pool2d(pixels, self.frame_scale) if self.frame_scale > 1 else pixels
        whole, states = self.tower.published(pixels)
        depth = self.tower.backbone.layers if self.depth is None else self.depth
        found: tuple[Tensor, list[Tensor]] = self._frames(layers).read(
            states[: depth + 1], whole if self.depth is None else None
        )
        return found

    def _reference_words(self, questions: Sequence[Question]) -> Callable[[Tensor], NDArray[np.float32]]:
        """Ask each phrasing by itself and average its cosines: the form the one-column graph must equal."""
        import numpy as np  # noqa: PLC0415 - kept beside its use; plan needs none

        words = self._worded()
        asked = [(words.text(question.words), words.text(question.normal_words)) for question in questions]

        def score(pixels: Tensor) -> NDArray[np.float32]:
            image: NDArray[np.float32] = words.image(*self._published(pixels, words.layers)).numpy()
            columns = [
                (words.scale * image @ fault.T).mean(axis=1) - (words.scale * image @ normal.T).mean(axis=1)
                for fault, normal in asked
            ]
            return np.stack(columns, axis=1)

        return score

    def _reference_fitted(self, head: nn.Module) -> Callable[[Tensor], NDArray[np.float32]]:
        import torch  # noqa: PLC0415 - plan must start without torch

        from exporters.towers.backbone import tokens  # noqa: PLC0415 - imports torch

        layers = self._layers(head)
        mean, std = (torch.tensor(values)[None, :, None, None] for values in (self.spec.mean, self.spec.std))

        def score(pixels: Tensor) -> NDArray[np.float32]:
            pooled, maps = self._published(pixels, layers)
            extra = (((pixels * std + mean) * 255).permute(0, 2, 3, 1),) if getattr(head, "sees_frame", False) else ()
            evidence: NDArray[np.float32] = head(pooled, *tokens(maps), *extra).numpy()
            return evidence

        return score


def licence(config: Mapping[str, Any]) -> str | None:
    """The licence in a checkpoint's own config.json; None where it has none."""
    section = config.get(SECTION)
    found = section.get("licence") if isinstance(section, dict) else None
    return found if isinstance(found, str) and found.strip() else None


def _kind(checkpoint: Checkpoint) -> facts.Kind:
    kind = facts.kind_of(checkpoint.config)
    if kind is None:
        raise ExportError(f"{checkpoint.folder / 'config.json'} names no architecture that is known here.")
    return kind


def _layers(checkpoint: Checkpoint) -> int:
    """How many layers the tower has above its stem."""
    return sum(facts.stages(checkpoint.shapes, _kind(checkpoint))) + ("student" in checkpoint.config[SECTION])


def _is_product(shape: tuple[int, ...]) -> bool:
    """Whether a weight is a matrix product's, or a convolution's that is one: those are what int8 shrinks."""
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))


FAMILY = Pretrained()

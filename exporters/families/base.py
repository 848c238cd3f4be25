"""What every model family gives the toolchain: a torch module `uint8 frame -> evidence per fault`, and a reference to check it by.

A family is split in two, because `plan` must answer without torch: `Family` reads configuration files only; `Model` is its loaded form.
Dual encoders and generative models differ behind this seam only; the later stages never ask which kind they hold.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from edge.errors import ConfigError, EdgeError, ExportError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

MAX_HEADER_BYTES = 100_000_000  # of a safetensors file, as its format says
WEIGHTS = "model.safetensors"  # as transformers names a checkpoint's weights; in pieces, its index names the files
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """How pixels become the checkpoint's input: size in px, resize rule, then (x / 255 - mean) / std per channel."""

    width: int
    height: int
    resize: Literal["stretch", "centre_crop"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """The size of the graph that will run, for `plan`.

    ``matmul_parameters`` are weights of matrix products (int8 quantization shrinks them), ``other_parameters`` stay float32;
    ``flop`` counts one frame (a multiply and an add are two); ``decoder_parameters`` are those products' that a decoder has.
    """

    matmul_parameters: int
    other_parameters: int
    flop: float
    decoder_parameters: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """One fault in words: several phrasings, and phrasings of the normal state that it is contrasted with."""

    id: str
    words: tuple[str, ...]
    normal_words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint folder read without loading weights: configuration, preprocessing, and every tensor's shape."""

    folder: Path
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    weight_bytes: int

    @property
    def parameters(self) -> int:
        """Number of parameters of the whole checkpoint."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def number(self, *path: str) -> int:
        """A positive whole number of config.json, by the keys that lead to it.

        Raises:
            ConfigError: it is not there, or not such a number.
        """
        value: Any = self.config
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(
                f"{self.folder / 'config.json'}: {'.'.join(path)} must be a positive whole number, not {value!r}; "
                "take the published config.json, or write the value there."
            )
        return value


class Model(Protocol):
    """A loaded checkpoint."""

    def graph(self, questions: Sequence[Question], head: nn.Module | None) -> nn.Module:
        """The module to export: uint8 [B, H, W, 3] -> float32 evidence [B, K], higher is more fault, unbounded.

        ``head`` replaces the questions' own scoring: a module from `features` and the frame to evidence.
        """
        ...

    def features(self, frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        """Frozen features for fitting a head: frames [N, H, W, 3] -> pooled [N, D], then patches [N, T, D] per depth."""
        ...

    def reference(
        self, pixels: NDArray[np.float32], questions: Sequence[Question], head: nn.Module | None
    ) -> NDArray[np.float32]:
        """The same evidence [N, K] by the family's own published implementation, from its own pixel values [N, ...]."""
        ...

    def normalise(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The reference's pixel values [N, ...] from frames [N, H, W, 3] that already have the right size."""
        ...

    def process(self, picture: Path) -> NDArray[np.float32]:
        """The reference's pixel values [1, ...] from a picture file, by the checkpoint's own image processor."""
        ...


class Family(Protocol):
    """One model family; nothing here may import torch."""

    @property
    def name(self) -> str:
        """Its name in manifests."""
        ...

    def matches(self, checkpoint: Checkpoint) -> bool:
        """Whether this family reads such a checkpoint."""
        ...

    def pixels(self, checkpoint: Checkpoint) -> PixelSpec:
        """How pixels become its input. Raises ExportError for a rule that the daemon does not have."""
        ...

    def geometry(self, checkpoint: Checkpoint, faults: int) -> Geometry:
        """The size of the graph for so many faults."""
        ...

    def load(self, checkpoint: Checkpoint) -> Model:
        """Load the weights (imports torch). Raises ExportError."""
        ...


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder's configuration and the headers of its weight files; no weights, no network.

    Raises:
        ConfigError: a file is missing or not what its name says.
    """
    files = weight_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes |= _tensor_shapes(file)
    return Checkpoint(
        folder=folder,
        config=_read_json(folder / "config.json"),
        preprocessor=_read_preprocessor(folder),
        shapes=shapes,
        weight_bytes=sum(file.stat().st_size for file in files),
    )


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's weights: those that transformers reads, for a folder may hold the same weights in another layout too.

    Raises:
        ConfigError: there is none, or one that the index names is missing.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        found = sorted(folder.glob("*.safetensors"))
        if not found:
            raise ConfigError(
                f"{folder} has no .safetensors file; convert the checkpoint (pickled weights are not read)."
            )
        return found
    places = _read_json(folder / INDEX).get("weight_map")
    names = set(places.values()) if isinstance(places, dict) else set()
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{folder / INDEX} has no weight_map that names files; get the checkpoint again.")
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise ConfigError(f"{folder} lacks {', '.join(missing)}, which {INDEX} names; get the checkpoint again.")
    return sorted(folder / name for name in names)


@contextlib.contextmanager
def loading(folder: Path, what: str) -> Iterator[None]:
    """Whatever a library raises while it reads a part of a checkpoint is an ExportError of one line; our own errors pass.

    Args:
        folder: the checkpoint.
        what: the part that is read, as the message calls it.
    """
    try:
        yield
    except EdgeError:
        raise
    except Exception as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"{folder}: the {what} does not load ({said[:300]}); compare the folder's files with the published checkpoint."
        ) from error


def find_family(checkpoint: Checkpoint, families: Sequence[Family]) -> Family:
    """The family that reads this checkpoint. Raises ExportError that lists what is supported."""
    for family in families:
        if family.matches(checkpoint):
            return family
    raise ExportError(
        f"{checkpoint.folder}: model_type {checkpoint.config.get('model_type')!r} is not supported; "
        f"supported families: {', '.join(family.name for family in families)}."
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is not a JSON object.")
    return document


def _read_preprocessor(folder: Path) -> dict[str, Any]:
    """The image processor's settings: a file of its own, or inside processor_config.json as newer tools write it."""
    if (folder / "preprocessor_config.json").is_file():
        return _read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        nested = _read_json(folder / "processor_config.json").get("image_processor")
        if isinstance(nested, dict):
            return nested
    raise ConfigError(f"{folder} has no preprocessor_config.json, nor an image_processor in processor_config.json.")


def _tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    with file.open("rb") as stream:
        start = stream.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER_BYTES + 1
        if size > MAX_HEADER_BYTES:
            raise ConfigError(f"{file} is not a safetensors file.")
        try:
            header = {name: entry for name, entry in json.loads(stream.read(size)).items() if name != "__metadata__"}
            shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
            end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"{file} has a damaged safetensors header: {error}") from error
    missing = len(start) + size + end - file.stat().st_size
    if missing > 0:
        raise ConfigError(f"{file} ends {missing} bytes too early; get it again.")
    return shapes

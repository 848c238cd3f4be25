"""Reads a checkpoint's folder without its weights: configuration files and the headers of weight files, never the network."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.errors import ConfigError, EdgeError, ExportError, RejectedInput
from edge.parsing.structure import Bounds, json_within
from exporters.model import Checkpoint

MAX_HEADER_BYTES = 100_000_000  # of a safetensors file, by its specification
_JSON = Bounds(size_bytes=MAX_HEADER_BYTES, values=2_000_000)  # an index of the largest checkpoints has 100,000 names
WEIGHTS = "model.safetensors"  # as transformers names a checkpoint's weights; in pieces, its index names the files
ADAPTER = "adapter"  # how peft's files begin
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
LFS_MOST_BYTES = 1024  # of such a pointer, by its specification
INDEX = "model.safetensors.index.json"


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint folder's configuration and the headers of its weight files; no weights, no network.

    Raises:
        ConfigError: a file is missing or not of the kind that its name promises.
    """
    _refuse_pointers(folder)
    files = weight_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        shapes |= _tensor_shapes(file)
    return Checkpoint(
        folder=folder,
        config=read_json(folder / "config.json"),
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
        found = sorted(file for file in folder.glob("*.safetensors") if not file.name.startswith(ADAPTER))
        if not found and any(folder.glob(f"{ADAPTER}_*")):
            raise ConfigError(
                f"{folder} holds an adapter (LoRA) only, which changes another checkpoint: merge the two (peft: merge_and_unload, then "
                "save_pretrained) and name the folder of the result."
            )
        if not found:
            raise ConfigError(
                f"{folder} has no .safetensors file; convert the checkpoint (pickled weights are not read)."
            )
        return found
    places = read_json(folder / INDEX).get("weight_map")
    names = set(places.values()) if isinstance(places, dict) else set()
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{folder / INDEX} has no weight_map that names files; get the checkpoint again.")
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise ConfigError(f"{folder} lacks {', '.join(missing)}, which {INDEX} names; get the checkpoint again.")
    return sorted(folder / name for name in names)


def _refuse_pointers(folder: Path) -> None:
    """A clone without Git LFS has small texts in place of large files. Raises ConfigError."""
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.stat().st_size <= LFS_MOST_BYTES and file.read_bytes().startswith(LFS_POINTER):
            raise ConfigError(f"{file} is a Git LFS pointer and not the file itself: run `git lfs pull` in {folder}.")


def normalisation(checkpoint: Checkpoint) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation per channel, of values 0..1, by the image processor's settings.

    Raises:
        ExportError: the processor does not rescale by 1/255, or names other than three channels.
    """
    rule = checkpoint.preprocessor
    if not rule.get("do_rescale", True) or not math.isclose(rule.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-6):
        raise ExportError(f"{checkpoint.folder}: the processor must rescale by 1/255.")
    if not rule.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return _channels(rule.get("image_mean", 0.5)), _channels(rule.get("image_std", 0.5))


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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"{folder}: the {what} does not load ({reason[:300]}); compare the folder's files with the published checkpoint."
        ) from error


def _channels(value: Any) -> tuple[float, float, float]:  # noqa: ANN401 - a JSON value
    values = [value] * 3 if isinstance(value, int | float) else list(value)
    if len(values) != 3:
        raise ExportError(f"the processor's mean and deviation must have three channels, not {value!r}.")
    return float(values[0]), float(values[1]), float(values[2])


def read_json(path: Path) -> dict[str, Any]:
    """A file that holds one JSON object. Raises ConfigError."""
    try:
        document = json_within(path.read_bytes(), _JSON)
    except (OSError, RejectedInput) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} is not a JSON object.")
    return document


def _read_preprocessor(folder: Path) -> dict[str, Any]:
    """The image processor's settings: a file of its own, or inside processor_config.json as newer tools write it."""
    if (folder / "preprocessor_config.json").is_file():
        return read_json(folder / "preprocessor_config.json")
    if (folder / "processor_config.json").is_file():
        nested = read_json(folder / "processor_config.json").get("image_processor")
        if isinstance(nested, dict):
            return nested
    raise ConfigError(
        f"{folder} has no preprocessor_config.json, nor an image_processor in processor_config.json; an image tower in timm's layout is "
        "converted first: edge-export tower FOLDER OUT."
    )


def _tensor_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    with file.open("rb") as stream:
        start = stream.read(8)
        size = struct.unpack("<Q", start)[0] if len(start) == 8 else MAX_HEADER_BYTES + 1
        if size > MAX_HEADER_BYTES:
            raise ConfigError(f"{file} is not a safetensors file.")
        try:
            document = json_within(stream.read(size), _JSON)
            header = {name: entry for name, entry in document.items() if name != "__metadata__"}
            shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
            end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        except (RejectedInput, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise ConfigError(f"{file} has a damaged safetensors header: {error}") from error
    missing = len(start) + size + end - file.stat().st_size
    if missing > 0:
        raise ConfigError(f"{file} ends {missing} bytes too early; get it again.")
    return shapes

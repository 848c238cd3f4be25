"""The bundle is written whole or not at all: into a temporary folder, each file flushed, the manifest last, then one rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.bundle import MANIFEST, FileEntry, Manifest, file_sha256, manifest_json, open_bundle
from edge.errors import BundleError, ExportError


def next_version(out: Path, name: str, wanted: int | None) -> int:
    """The version of the bundle to write: the recipe's, or one above the newest of this name in the folder.

    Raises:
        ExportError: the recipe's version does not rise above what is there, and the daemon would refuse to go back; or nothing can be
            written there.
    """
    _check_writable(out)
    newest = max((version for bundle_name, version in _present(out) if bundle_name == name), default=0)
    if wanted is None:
        return newest + 1
    if wanted <= newest:
        raise ExportError(
            f"{out} already holds {name} version {newest}: set version = {newest + 1} in the recipe, or leave it out to count up."
        )
    return wanted


def pack(out: Path, folder_name: str, files: Mapping[str, bytes | Path], manifest: Mapping[str, Any]) -> Path:
    """Write a bundle and return its folder.

    Args:
        out: folder to create it in.
        folder_name: its name there; must not exist.
        files: path inside the bundle -> content, or a file to copy.
        manifest: all of the manifest but ``files``.

    Raises:
        ExportError: the folder exists or cannot be written, or what was written does not open as a bundle.
    """
    target = out / folder_name
    if target.exists():
        raise ExportError(f"{target} exists; remove it or choose another --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder_name}.", dir=out))
    except OSError as error:
        raise ExportError(_unwritable(out, error.strerror)) from error
    try:
        entries = [_write(work, path, content) for path, content in sorted(files.items())]
        complete = Manifest.model_validate({**manifest, "files": entries})
        _write(work, MANIFEST, manifest_json(complete))
        open_bundle(work)  # what the device will do first
        work.chmod(0o755)  # mkdtemp's own is for its owner alone; the daemon may be another user
        _flush(work)
        work.rename(target)
        _flush(out)
    except (BundleError, ValidationError) as error:
        shutil.rmtree(work, ignore_errors=True)
        raise ExportError(f"what was written does not open as a bundle: {error}") from error
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        raise ExportError(_unwritable(out, error.strerror)) from error
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return target


def _check_writable(out: Path) -> None:
    """Before the work, not after it: a bundle's folder can be made below ``out``. Raises ExportError."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ExportError(_unwritable(out, f"{there} is no folder"))
    if not os.access(there, os.W_OK | os.X_OK):
        raise ExportError(_unwritable(out, f"{there} may not be written by this user"))


def _unwritable(out: Path, why: str | None) -> str:
    return f"no bundle can be written to {out}: {why}. Choose another --out, or make room there."


def _write(root: Path, path: str, content: bytes | Path) -> FileEntry:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, file)
    else:
        file.write_bytes(content)
    _flush(file)
    return FileEntry(path=path, sha256=file_sha256(file), size_bytes=file.stat().st_size)


def _flush(path: Path) -> None:
    """Push a file, or a folder's names, to the disk: a rename may otherwise outlive what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _present(out: Path) -> list[tuple[str, int]]:
    """Name and version of the bundles in a folder; what does not open is no bundle."""
    found = []
    for file in out.glob(f"*/{MANIFEST}"):
        try:
            manifest = open_bundle(file.parent).manifest
        except BundleError:
            continue
        found.append((manifest.name, manifest.version))
    return found

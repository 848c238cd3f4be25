"""Writes the bundle whole or not at all: temporary folder, each file flushed, manifest last, one rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.bundle import MANIFEST, file_sha256, open_bundle
from edge.errors import BundleError, ExportError
from edge.manifest import FileEntry, Manifest, manifest_json
from edge.system.flush import flush


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


@contextlib.contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Keep other builds out of a folder while this one works: they would end as the same version. The folder is made, and goes if it stays empty.

    Raises:
        ExportError: another build works there, or nothing can be written there.
    """
    _check_writable(out)
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ExportError(_unwritable(out, error.strerror)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExportError(f"another build is at work in {out}: wait for it, or choose another --out.") from error
        except OSError:
            pass  # a file system without locks: what is there at the end is still never overwritten
        yield
    finally:
        os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):
                out.rmdir()


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
        flush(work)
        work.rename(target)
        flush(out)
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
    flush(file)
    return FileEntry(path=path, sha256=file_sha256(file), size_bytes=file.stat().st_size)


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

"""Opens a bundle: the folder, its manifest, and every file against its hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edge.errors import FormatError, HashMismatch, RejectedInput
from edge.manifest import FORMAT, FileEntry, Manifest
from edge.parsing.structure import Bounds, json_within
from edge.parsing.toml_file import words

MANIFEST = "manifest.json"
VOLUME_LINK = "..data"  # in a volume that Kubernetes fills
_NO_LINKS = "A bundle holds files, not links: what they lead to may change unseen. Copy it with cp -rL."
_NEWER = ". If a newer toolchain wrote it, update the daemon, or export again with the toolchain of this version"
# A manifest is text about a model, not the model: the largest known one has 14 kB and 600 values.
MANIFEST_BOUNDS = Bounds(size_bytes=1_000_000, values=10_000)


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: its folder, its manifest, and the manifest's own SHA-256 (the bundle's identity)."""

    path: Path
    manifest: Manifest
    sha256: str

    @property
    def graph(self) -> Path:
        """The ONNX file to run."""
        return self.path / self.manifest.execution.graph


def open_bundle(path: Path) -> Bundle:
    """Open a bundle and check every file against its hash, before anything parses one.

    Raises:
        FormatError: no manifest, or one that is malformed, of another format, signed, or with an unknown field.
        HashMismatch: a listed file is missing, changed or a link, or a file is there that is not listed.
    """
    path = _published(path)
    manifest, digest = read_manifest(path)
    listed = {entry.path: entry for entry in manifest.files}
    present = {item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_symlink() or not item.is_dir()}
    extra = present - set(listed) - {MANIFEST}
    if extra:
        raise HashMismatch(
            f"{path}: files that the manifest does not list: {sorted(extra)[:5]}. Export or copy the bundle again."
        )
    for entry in manifest.files:
        _check_file(path, entry)
    return Bundle(path=path, manifest=manifest, sha256=digest)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _published(path: Path) -> Path:
    """Where the files are: volumes of Kubernetes show them as links into ``..data``, itself a link to a folder beside it that is replaced whole."""
    data = path / VOLUME_LINK
    if not data.is_symlink():
        return path
    real = data.resolve()
    if real.parent != path.resolve() or not real.is_dir():
        raise FormatError(f"{data} leads out of the bundle. {_NO_LINKS}")
    return real


def read_manifest(path: Path) -> tuple[Manifest, str]:
    """A bundle's manifest and its SHA-256; its files are not looked at.

    Raises:
        FormatError: as `open_bundle`.
    """
    file = path / MANIFEST
    if file.is_symlink():
        raise FormatError(f"{file} is a link. {_NO_LINKS}")
    if not file.is_file():
        raise FormatError(f"{path} has no {MANIFEST}: it is not a bundle, or its export did not finish.")
    if file.stat().st_size > MANIFEST_BOUNDS.size_bytes:
        raise FormatError(f"{file} is larger than {MANIFEST_BOUNDS.size_bytes} bytes.")
    raw = file.read_bytes()
    try:
        document = json_within(raw, MANIFEST_BOUNDS)
    except RejectedInput as error:
        raise FormatError(f"{file} is not JSON that a manifest may be: {error.detail}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if type(found) is not int or found != FORMAT:
        raise FormatError(
            f"{file} has format {str(found)[:40]}; this version reads format {FORMAT}. Update the daemon or export again."
        )
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {words(item)}" for item in error.errors()[:5])
        newer = any(item["type"] in {"extra_forbidden", "literal_error"} for item in error.errors())
        raise FormatError(f"{file}: {problems}{_NEWER if newer else ''}") from error
    if manifest.signature is not None:
        raise FormatError(
            f"{file} is signed, and this version cannot check signatures: it is refused, not trusted. Update the daemon, or export without one."
        )
    return manifest, hashlib.sha256(raw).hexdigest()


def _check_file(path: Path, entry: FileEntry) -> None:
    file = path / entry.path
    if file.is_symlink():
        raise HashMismatch(f"{path}: {entry.path} is a link. {_NO_LINKS}")
    if not file.is_file():
        raise HashMismatch(f"{path}: {entry.path} is missing. Copy the bundle again.")
    if file.stat().st_size != entry.size_bytes:
        raise HashMismatch(
            f"{path}: {entry.path} has {file.stat().st_size} bytes, the manifest gives {entry.size_bytes}. Copy the bundle again."
        )
    if file_sha256(file) != entry.sha256:
        raise HashMismatch(
            f"{path}: {entry.path} does not match its hash; it was changed or damaged. Copy the bundle again."
        )

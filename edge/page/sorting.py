"""Pictures and what an engineer says they show: copies in a folder for each label, which `edge-export init` reads; the sources are only read.

A copy lies at ``LABEL/SOURCE/NAME``. The folders are the whole truth: who comes later goes on where they end. Names never come from a browser: a
picture is asked for by the hash of its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from edge.errors import ConfigError, EdgeError
from edge.page.settings import PictureSource

NORMAL, UNSURE = "normal", "unsure"  # `edge-export init` takes the first as the normal state and passes over the second
SUFFIXES = (".jpg", ".jpeg", ".png")
MOST_BYTES = 30_000_000  # of one picture
MOST_PICTURES = 200_000  # of one source
LABEL = r"^[a-z][a-z0-9_]{0,63}$"
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture that was sorted."""

    label: str
    path: Path
    size_bytes: int


class Sorting:
    """All sources and the sorted copies; any thread may call it, and one at a time works.

    Args:
        sources: folders of pictures.
        folder: of the sorted copies; is made with the first.
        max_bytes: of all copies.
    """

    def __init__(self, sources: Sequence[PictureSource], folder: Path, max_bytes: float) -> None:
        self.folder = folder
        self._sources = {one.id: one.folder for one in sources}
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._names: dict[str, tuple[int, dict[str, str]]] = {}  # by source: when its folder changed, names by id

    def progress(self) -> list[dict[str, Any]]:
        """How far each source is."""
        with self._lock:
            return [self._progress(source) for source in self._sources]

    def counts(self) -> Counter[str]:
        """Sorted pictures by label."""
        with self._lock:
            return Counter(copy.label for source in self._places() for copy in self._copies(source).values())

    def pictures(self, source: str, label: str, most: int) -> list[dict[str, str]]:
        """Pictures of a source that have a label, none: those that have none yet; in the order of their names.

        Raises:
            EdgeError: there is no such source, or it cannot be read.
        """
        with self._lock:
            copies = self._copies(source)
            found = []
            for picture, name in self._listed(source).items():
                has = copies[name].label if name in copies else ""
                if has == label:
                    found.append({"id": picture, "name": name, "label": has})
                    if len(found) == most:
                        break
            return found

    def read(self, source: str, picture: str) -> bytes:
        """A picture's bytes, of its source or of the copy that outlived it.

        Raises:
            EdgeError: it is gone, or too large to be one.
        """
        with self._lock:
            return self._bytes(source, self._name(source, picture))

    def sort(self, source: str, picture: str, label: str, labels: Collection[str]) -> str:
        """Say what a picture shows; an empty label takes back what was said. Returns a note, or nothing.

        Args:
            source: its id.
            picture: hash of its name.
            label: one of `labels`, or empty.
            labels: that exist.

        Raises:
            ConfigError: there is no such label, or no room.
            EdgeError: it is gone, or the disk refuses.
        """
        if label and label not in labels:
            raise ConfigError(f"there is no label {label!r}: name the fault first")
        with self._lock:
            name = self._name(source, picture)
            old = self._copies(source).get(name)
            try:
                return self._sort(source, name, old, label)
            except OSError as error:
                raise EdgeError(f"{name} was not sorted: {error.strerror or error}") from error

    def zipped(self) -> IO[bytes]:
        """All copies as a zip, in a temporary file that goes when it is closed.

        Raises:
            EdgeError: nothing is sorted yet, or the disk refuses.
        """
        with self._lock:
            copies = [copy.path for source in self._places() for copy in self._copies(source).values()]
            if not copies:
                raise EdgeError("nothing is sorted yet")
            held = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
            try:
                with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as archive:
                    for path in copies:
                        archive.write(path, path.relative_to(self.folder.parent).as_posix())
                held.seek(0)
            except OSError as error:
                held.close()
                raise EdgeError(f"the zip cannot be made: {error.strerror or error}") from error
            return held

    def _progress(self, source: str) -> dict[str, Any]:
        try:
            listed, why = set(self._listed(source).values()), ""
        except EdgeError as error:
            listed, why = set(), str(error)
        done = Counter(copy.label for name, copy in self._copies(source).items() if name in listed)
        return {"id": source, "pictures": len(listed), "sorted": done.total(), "labels": dict(done), "why": why}

    def _sort(self, source: str, name: str, old: Copy | None, label: str) -> str:
        if old is not None and old.label == label:
            return ""
        target = self.folder / label / source / name
        if not label:
            if old is not None:
                old.path.unlink()
                _rmdir(old.path.parent)
            return ""
        if old is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            old.path.replace(target)
            _rmdir(old.path.parent)
            return ""
        content = self._bytes(source, name)
        held = [copy for place in self._places() for copy in self._copies(place).values()]
        if sum(copy.size_bytes for copy in held) + len(content) > self._max_bytes:
            raise ConfigError(f"the sorted pictures fill workshop.max_mb = {self._max_bytes / MB:g}: raise it")
        same = [one for one in held if one.size_bytes == len(content) and one.path.read_bytes() == content]
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{name}.part")
        part.write_bytes(content)
        os.replace(part, target)  # noqa: PTH105 - Path.replace is the same, os.replace says that it is atomic
        return _told(same, label)

    def _places(self) -> list[str]:
        """Sources of which something is sorted; one that page.toml no longer names counts too, because a build takes its pictures."""
        return sorted({path.name for path in self.folder.glob("*/*") if path.is_dir()})

    def _copies(self, source: str) -> dict[str, Copy]:
        """By name."""
        found = {}
        for path in sorted(self.folder.glob(f"*/{source}/*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                found[path.name] = Copy(path.parts[-3], path, path.stat().st_size)
        return found

    def _listed(self, source: str) -> dict[str, str]:
        """Names by id, in order: what lies there now, and what was sorted before its source let it go."""
        folder = self._sources.get(source)
        if folder is None:
            raise EdgeError(f"there is no source {source}")
        try:
            stamp = folder.stat().st_mtime_ns
            held = self._names.get(source)
            if held is None or held[0] != stamp:
                held = self._names[source] = (stamp, {_id(name): name for name in sorted(_names_in(folder))})
        except OSError as error:
            raise EdgeError(f"{source} cannot be read: {error.strerror} (docs/page.md)") from error
        if not held[1] and not self._copies(source):
            raise EdgeError(f"{source} holds no JPEG and no PNG file; sub-folders are sources of their own")
        return {_id(name): name for name in sorted({*held[1].values(), *self._copies(source)})}

    def _name(self, source: str, picture: str) -> str:
        name = self._listed(source).get(picture)
        if name is None:
            raise EdgeError("this picture is gone")
        return name

    def _bytes(self, source: str, name: str) -> bytes:
        copy = self._copies(source).get(name)
        path = self._sources[source] / name if copy is None else copy.path
        try:
            with path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise EdgeError(f"{name} cannot be read: {error.strerror}") from error
        if len(content) > MOST_BYTES:
            raise EdgeError(f"{name} has more than {MOST_BYTES // MB} MB")
        return content


def _rmdir(folder: Path) -> None:
    """Take away a source's folder of a label, and the label's own, once they are empty: a draft would speak of them."""
    with contextlib.suppress(OSError):  # something is left in it
        folder.rmdir()
        folder.parent.rmdir()


def _told(same: Sequence[Copy], label: str) -> str:
    if not same:
        return ""
    words = f"it is an exact copy of {same[0].path.name}, which is {same[0].label}: copies are no new evidence"
    return words if same[0].label == label else f"{words}, and a build leaves out what is both"


def _names_in(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count >= MOST_PICTURES:
                return
            name = entry.name
            is_plain = name.isprintable() and not name.startswith(".") and name == name.encode(errors="ignore").decode()
            if is_plain and name.lower().endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
                yield name


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:20]

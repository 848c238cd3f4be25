"""One recording on disk: a folder with a log of lines and a file for each picture; it is readable at whatever moment its writer ended.

The log's first line describes the recording, the others are frames and raised alarms in the order in which they came, and the last one says how it
ended. A line that a power cut left torn is passed over, and so is a picture whose bytes are not those that its line names.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import EdgeError, RejectedInput
from edge.evidence.ring import Moment
from edge.parsing.structure import Bounds, json_within
from edge.system.flush import flush

SCHEMA = "edge.recording/1"
LOG = "recording.jsonl"
LINE_BOUNDS = Bounds(size_bytes=262_144, values=20_000)
MAX_LINES = 200_000  # of a log that is read: hours at the rate of any camera
_SUFFIXES = {b"\x89PNG": "png", b"RIFF": "webp"}


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording as it was read.

    Args:
        folder: where it is.
        about: its first line.
        raised: alarms that were raised meanwhile, oldest first.
        frames: facts of each frame, oldest first; ``file`` names its picture.
        end: its last line; None: its writer was killed, or still writes.
    """

    folder: Path
    about: Mapping[str, Any]
    raised: tuple[Mapping[str, Any], ...] = ()
    frames: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    end: Mapping[str, Any] | None = None

    @property
    def complete(self) -> bool:
        """Whether it is whole, up to the end of its time."""
        return self.end is not None and self.end.get("complete") is True

    def picture(self, facts: Mapping[str, Any]) -> bytes | None:
        """The picture of one frame; None: its bytes are not those that were written."""
        name = str(facts.get("file", ""))
        if Path(name).name != name:
            return None
        try:
            found = (self.folder / name).read_bytes()
        except OSError:
            return None
        return found if hashlib.sha256(found).hexdigest() == facts.get("sha256") else None


class RecordingWriter:
    """Writes one recording.

    Args:
        folder: to be made.
        about: what is recorded.

    Raises:
        OSError: the disk refuses; so do all methods.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        folder.mkdir(
            mode=0o750
        )  # a reader named in an access list of the folder above needs the group's bits (docs/page.md)
        self.folder = folder
        self.written_bytes = 0
        self._unsynced = [folder, folder / LOG]
        self._log = (folder / LOG).open("xb", buffering=0)
        self.line("about", {"schema": SCHEMA} | dict(about))

    def line(self, kind: str, facts: Mapping[str, Any]) -> None:
        """One line of the log."""
        body = json.dumps({"kind": kind} | dict(facts), separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self._log.write(body)
        self.written_bytes += len(body)

    def frame(self, moment: Moment) -> None:
        """One frame: first its picture, then its line, so that a line never names a picture that is not there."""
        encoded = moment.frame.encoded
        name = f"{moment.frame.seq:08d}.{_SUFFIXES.get(encoded[:4], 'jpg')}"
        (self.folder / name).write_bytes(encoded)
        self.written_bytes += len(encoded)
        self._unsynced.append(self.folder / name)
        self.line("frame", {"file": name, "sha256": hashlib.sha256(encoded).hexdigest()} | dict(moment.facts))

    def flush(self) -> None:
        """Have the disk hold what was written."""
        for path in self._unsynced:
            flush(path)
        self._unsynced = [self.folder, self.folder / LOG]

    def raised(self, facts: Mapping[str, Any]) -> None:
        """An alarm was raised: what led to it is on disk before anything else."""
        self.line("raised", facts)
        self.flush()

    def end(self, facts: Mapping[str, Any]) -> None:
        """The last line."""
        self.line("end", facts)
        self.flush()
        self.close()

    def close(self) -> None:
        """Write nothing more; without an end it is left as a killed daemon leaves it."""
        self._log.close()


def finish_broken(folder: Path) -> bool:
    """End a recording whose writer was killed; returns whether it was one.

    Raises:
        OSError: the disk refuses.
    """
    path = folder / LOG
    if not path.exists() or read_recording(folder).end is not None:
        return False
    with path.open("ab") as log:
        log.write(b'\n{"kind":"end","complete":false,"why":"the daemon ended meanwhile"}\n')
        log.flush()
        os.fsync(log.fileno())
    return True


def read_recording(folder: Path) -> Recording:
    """Read a recording; linear in the size of its log.

    Raises:
        EdgeError: there is none, or its first line is missing.
    """
    about: Mapping[str, Any] | None = None
    raised, frames, end = [], [], None
    try:
        for line in _lines(folder / LOG):
            kind = line.get("kind")
            if kind == "about" and about is None and line.get("schema") == SCHEMA:
                about = line
            elif kind == "raised":
                raised.append(line)
            elif kind == "frame":
                frames.append(line)
            elif kind == "end":
                end = line
    except OSError as error:
        raise EdgeError(f"{folder} holds no recording: {error.strerror}") from error
    if about is None:
        raise EdgeError(f"{folder} holds no recording of the form {SCHEMA}: another version wrote it, or it is damaged")
    return Recording(folder, about, tuple(raised), tuple(frames), end)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a log that are whole."""
    with path.open("rb") as log:
        for _ in range(MAX_LINES):
            body = log.readline(LINE_BOUNDS.size_bytes)
            if not body:
                return
            try:
                line = json_within(body, LINE_BOUNDS)
            except RejectedInput:
                continue
            if isinstance(line, dict):
                yield line

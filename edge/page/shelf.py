"""Evidence for the page: which occurrences have some, their facts, one picture at a time, or the whole as a zip; read only."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from edge.errors import EdgeError
from edge.evidence.export import zip_into
from edge.evidence.recording import LOG, Recording, read_recording
from edge.page.settings import EvidenceFolder

MOST_LISTED = 500  # newest recordings of a node
MOST_HELD = 4  # recordings whose facts stay in memory: one is looked at picture by picture


class Shelf:
    """The evidence folders of all nodes on this machine; any thread may call it, and one at a time reads.

    Args:
        folders: one for each node.
    """

    def __init__(self, folders: Sequence[EvidenceFolder]) -> None:
        self._folders = {one.node: one.folder for one in folders}
        self._lock = threading.Lock()
        self._listed: dict[Path, tuple[int, list[dict[str, Any]]]] = {}
        self._held: dict[Path, tuple[int, Recording]] = {}

    def nodes(self) -> list[str]:
        """Nodes whose evidence is here."""
        return sorted(self._folders)

    def listing(self, node: str) -> list[dict[str, Any]]:
        """Every occurrence with evidence, newest first.

        Raises:
            EdgeError: the folder cannot be read.
        """
        with self._lock:
            return [row for path in self._paths(node) for row in self._rows(path)]

    def recording(self, node: str, occurrence: str) -> Recording:
        """The newest recording of an occurrence.

        Raises:
            EdgeError: there is none.
        """
        with self._lock:
            for path in self._paths(node):
                if any(row["occurrence"] == occurrence for row in self._rows(path)):
                    return self._read(path)
        raise EdgeError(f"no evidence of {occurrence} is kept: its camera needs `evidence = true`, or it grew too old")

    def zipped(self, node: str, occurrence: str) -> IO[bytes]:
        """The recording as a zip, in a temporary file that goes when it is closed.

        Raises:
            EdgeError: there is none, or no picture of it is left.
        """
        recording = self.recording(node, occurrence)
        held = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
        try:
            with self._lock:
                zip_into(recording, held)
        except BaseException:
            held.close()
            raise
        held.seek(0)
        return held

    def _paths(self, node: str) -> list[Path]:
        folder = self._folders.get(node)
        if folder is None:
            raise EdgeError(f"the evidence of {node} is not on this machine, or page.toml does not name its folder")
        try:
            found = [path for path in folder.iterdir() if (path / LOG).exists()] if folder.exists() else []
        except OSError as error:
            raise EdgeError(f"the evidence of {node} cannot be read: {error.strerror} (docs/page.md)") from error
        return sorted(found, reverse=True)[:MOST_LISTED]

    def _rows(self, path: Path) -> list[dict[str, Any]]:
        stamp = _stamp(path)
        known = self._listed.get(path)
        if known is None or known[0] != stamp:
            if len(self._listed) > 4 * MOST_LISTED:
                self._listed.clear()
            try:
                known = (stamp, _summary(read_recording(path)))
            except EdgeError:
                known = (stamp, [])
            self._listed[path] = known
        return known[1]

    def _read(self, path: Path) -> Recording:
        stamp = _stamp(path)
        held = self._held.get(path)
        if held is None or held[0] != stamp:
            held = (stamp, read_recording(path))
            self._held.pop(path, None)
            while len(self._held) >= MOST_HELD:
                del self._held[next(iter(self._held))]
            self._held[path] = held
        return held[1]


def facts(recording: Recording) -> dict[str, Any]:
    """A recording as the page shows it: what was raised, and each frame with what the daemon made of it."""
    return {
        "camera": recording.about.get("camera"),
        "model": recording.about.get("model"),
        "thresholds": recording.about.get("thresholds") or {},
        "whole": recording.complete,
        "why": (recording.end or {}).get("why", ""),
        "raised": [_mark(mark) for mark in recording.raised],
        "frames": [
            {key: frame.get(key) for key in ("received", "flag_ms", "late", "flags", "readings", "unjudged")}
            for frame in recording.frames
        ],
    }


def _summary(recording: Recording) -> list[dict[str, Any]]:
    about = {
        "camera": recording.about.get("camera"),
        "frames": len(recording.frames),
        "whole": recording.complete,
    }
    return [_mark(mark) | about for mark in reversed(recording.raised)]


def _mark(mark: Mapping[str, Any]) -> dict[str, Any]:
    return {key: mark.get(key) for key in ("at", "alarm", "occurrence")}


def _stamp(path: Path) -> int:
    try:
        return (path / LOG).stat().st_mtime_ns
    except OSError:
        return 0

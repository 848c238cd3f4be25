"""What an engineer does from pictures to a bundle: faults and their words, plans, builds and backtests by `edge-export`, and who did what."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError, EdgeError, RejectedInput
from edge.page.job import Jobs, Order
from edge.page.settings import WorkshopSettings
from edge.page.sorting import LABEL, MB, NORMAL, UNSURE, Sorting
from edge.parsing.structure import Bounds, json_within
from edge.parsing.toml_file import words

# Last words of labels that `edge-export init` takes for the normal state, and folders that it passes over.
NORMAL_WORDS = frozenset(
    ("normal", "good", "ok", "okay", "free", "nominal", "healthy", "flawless", "pass", "passed", "clean", "negative")
)
OTHER_FOLDERS = frozenset(
    [
        "ground_truth",
        "mask",
        "masks",
        "readings",
        "unsure",
        "unknown",
        "unsorted",
        "unlabelled",
        "annotations",
        "train",
        "test",
        "val",
        "valid",
        "validation",
        "images",
        "data",
    ]
)
MOST_FAULTS = 40
AUDIT_TAIL_BYTES = 200_000
REPORTS = {"build": "report.html", "backtest": "backtest.html"}
TABLE = "thresholds.json"
MOST_REPORT_BYTES = 50_000_000
BOUNDS = Bounds(size_bytes=200_000, values=5_000)
TABLE_BOUNDS = Bounds(size_bytes=2_000_000, values=100_000)
_BUNDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_log = logging.getLogger(__name__)


class Fault(BaseModel):
    """A fault to be found: its label, and how people say it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str = Field(pattern=LABEL)
    title: str = Field(min_length=1, max_length=80, pattern=r"\S")
    words: tuple[str, ...] = Field(min_length=1, max_length=12)


class Faults(BaseModel):
    """`faults.json`; `edge-export init --words` reads it too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["edge.words/1"] = Field(default="edge.words/1", alias="schema")
    faults: tuple[Fault, ...] = Field(default=(), max_length=MOST_FAULTS)


class Workshop:
    """Everything that an engineer works with; any thread may call it.

    Args:
        settings: its folders and the toolchain.
    """

    def __init__(self, settings: WorkshopSettings) -> None:
        self.settings = settings
        self.sorting = Sorting(settings.sources, settings.folder / "sorted" / settings.name, settings.max_mb * MB)
        self._words = settings.folder / "faults.json"
        self._audit = settings.folder / "audit.jsonl"
        self._lock = threading.Lock()
        self._command, environment = _toolchain(settings.export)
        self.jobs = Jobs(settings.folder / "jobs", environment, self._ended)

    def state(self) -> dict[str, Any]:
        """What the page shows of it."""
        counts = self.sorting.counts()
        return {
            "sources": self.sorting.progress(),
            "faults": [fault.model_dump() | {"pictures": counts[fault.label]} for fault in self.faults().faults],
            "normal": counts[NORMAL],
            "unsure": counts[UNSURE],
            "folder": str(self.sorting.folder),
            "board": self.settings.board,
            "checkpoint": self.settings.checkpoint is not None,
            "obstacle": self.obstacle(),
            "running": self.jobs.running(),
            "jobs": self.jobs.listing(),
            "bundles": self.bundles(),
            "audit": self.audited(),
        }

    def obstacle(self) -> str:
        """Why nothing can be built here, and what to do instead; empty: nothing is in the way."""
        if self._command is None:
            return "edge-export is not on this machine: fetch the sorted pictures and build on a workstation (docs/export.md)"
        if not self.settings.export and importlib.util.find_spec("torch") is None:
            return (
                "torch is not installed here, so plans and backtests work and builds do not: install the extra `export`, "
                "or fetch the sorted pictures and build on a workstation (docs/export.md)"
            )
        return ""

    def faults(self) -> Faults:
        """The faults and their words.

        Raises:
            ConfigError: their file is damaged.
        """
        try:
            return Faults.model_validate(json_within(self._words.read_bytes(), BOUNDS))
        except FileNotFoundError:
            return Faults()
        except (OSError, RejectedInput, ValidationError) as error:
            raise ConfigError(f"{self._words.name} cannot be read: {error}") from error

    def name_faults(self, given: object, user: str, now: str) -> None:
        """Replace the faults and their words.

        Raises:
            ConfigError: something in them is not allowed, or pictures are sorted as one that would go.
            EdgeError: the disk refuses.
        """
        try:
            wanted = Faults.model_validate({"faults": given})
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {words(first)}") from error
        if wanted == self.faults():
            return
        labels = [fault.label for fault in wanted.faults]
        for label in labels:
            is_taken = label.rpartition("_")[2] in NORMAL_WORDS or label in OTHER_FOLDERS
            if is_taken or labels.count(label) > 1:
                raise ConfigError(
                    f"{label} is no name for a fault: it is there twice, or a build takes it for something else"
                )
        counts = self.sorting.counts()
        for fault in self.faults().faults:
            if fault.label not in labels and counts[fault.label]:
                raise ConfigError(f"{counts[fault.label]} pictures are sorted as {fault.label}: sort them again first")
        text = json.dumps(wanted.model_dump(by_alias=True), indent=1, ensure_ascii=False)
        try:
            self._words.parent.mkdir(parents=True, exist_ok=True)
            part = self._words.with_suffix(".part")
            part.write_text(text, encoding="utf-8")
            part.replace(self._words)
        except OSError as error:
            raise EdgeError(f"the words were not kept: {error.strerror or error}") from error
        self.note(user, "words", ", ".join(labels), now)

    def sort(self, source: str, picture: str, label: str, user: str, now: str) -> str:
        """Say what a picture shows; returns a note, or nothing. Raises ConfigError or EdgeError."""
        labels = {NORMAL, UNSURE, *(fault.label for fault in self.faults().faults)}
        told = self.sorting.sort(source, picture, label, labels)
        self.note(user, "sort", f"{source} {picture}: {label or 'taken back'}", now)
        return told

    def bundles(self) -> list[str]:
        """Names of the bundles that lie here."""
        place = self.settings.place_of_bundles()
        try:
            found = [path.name for path in place.iterdir() if (path / "manifest.json").is_file()]
        except OSError:
            return []
        return sorted(name for name in found if _BUNDLE.fullmatch(name))

    def begin(self, kind: str, given: Mapping[str, Any], user: str, now: str) -> str:
        """Begin a plan, a build or a backtest; returns the job's name.

        Raises:
            ConfigError: it cannot be done here, or another runs.
        """
        if self._command is None:
            raise ConfigError(self.obstacle())
        if kind == "backtest":
            commands, about = self._backtest(str(given.get("bundle", "")), str(given.get("source", "")))
        elif kind in {"plan", "build"}:
            if kind == "build" and self.obstacle():
                raise ConfigError(self.obstacle())
            commands, about = self._recipe(kind)
        else:
            raise ConfigError("a job is a plan, a build or a backtest")
        name = self.jobs.start(Order(kind, user, about, [[*self._command, *command] for command in commands]), now)
        self.note(user, kind, " ".join((name, *about.values())), now)
        return name

    def cancel(self, user: str, now: str) -> str:
        """End the running job; returns its name. Raises ConfigError where none runs."""
        name = self.jobs.cancel()
        self.note(user, "cancel", name, now)
        return name

    def report(self, name: str) -> bytes:
        """The report of a job, a page of HTML.

        Raises:
            EdgeError: it has none.
        """
        about = self.jobs.about(name)
        kind, bundle = str(about.get("kind")), str(about.get("bundle"))
        folder = self.settings.place_of_bundles() / bundle if kind == "build" else self.jobs.folder(name)
        if about.get("status") != "done" or kind not in REPORTS or (kind == "build" and bundle not in self.bundles()):
            raise EdgeError("this job has no report")
        return _read(folder / REPORTS[kind], MOST_REPORT_BYTES)

    def thresholds(self, name: str) -> Any:  # noqa: ANN401 - JSON as the backtest wrote it
        """Alarms at other thresholds, as the backtest of a job found them. Raises EdgeError."""
        content = _read(self.jobs.folder(name) / TABLE, TABLE_BOUNDS.size_bytes)
        try:
            return json_within(content, TABLE_BOUNDS)
        except RejectedInput as error:
            raise EdgeError(f"the table cannot be read: {error.detail}") from error

    def zipped(self, user: str, now: str) -> IO[bytes]:
        """The sorted pictures, for a workstation. Raises EdgeError."""
        held = self.sorting.zipped()
        self.note(user, "fetch", "the sorted pictures", now)
        return held

    def note(self, user: str, what: str, detail: str, now: str) -> None:
        """Who did what: into the page's log, and into a file that only grows.

        Raises:
            EdgeError: it cannot be written, so nobody would know.
        """
        _log.info("%s: %s, %s", user, what, detail)
        line = json.dumps({"at": now, "user": user, "what": what, "detail": detail}, ensure_ascii=False)
        try:
            with self._lock:
                self._audit.parent.mkdir(parents=True, exist_ok=True)
                with self._audit.open("a", encoding="utf-8") as file:
                    file.write(f"{line}\n")
        except OSError as error:
            raise EdgeError(f"done, but not noted who did it: {error.strerror or error}") from error

    def audited(self, most: int = 30) -> list[dict[str, Any]]:
        """The newest of it, the newest first, without single pictures."""
        try:
            with self._audit.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - AUDIT_TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []
        found = []
        for line in reversed(lines):
            try:
                note = json.loads(line)
            except ValueError:  # the first may be cut
                continue
            if note.get("what") != "sort":
                found.append(note)
        return found[:most]

    def close(self) -> None:
        """The page stops, and with it what runs."""
        self.jobs.close()

    def _recipe(self, kind: str) -> tuple[list[list[str]], dict[str, str]]:
        if not self.settings.board:
            raise ConfigError("page.toml does not say for which board: workshop.board, see `edge-export boards`")
        recipe = "{job}/recipe.toml"
        draft = ["init", str(self.sorting.folder), "--out", recipe]
        if self._words.exists():
            draft += ["--words", str(self._words)]
        if self.settings.checkpoint is not None:
            draft += ["--checkpoint", str(self.settings.checkpoint)]
        step = [kind, recipe, "--board", self.settings.board]
        if kind == "build":
            step += [
                "--out",
                str(self.settings.place_of_bundles()),
                "--features",
                str(self.settings.folder / "features"),
            ]
        return [draft, step], {}

    def _backtest(self, bundle: str, source: str) -> tuple[list[list[str]], dict[str, str]]:
        folder = next((one.folder for one in self.settings.sources if one.id == source), None)
        if bundle not in self.bundles() or folder is None:
            raise ConfigError("choose a bundle and a source that are there")
        path = str(self.settings.place_of_bundles() / bundle)
        wanted = [
            "--html",
            "{job}/backtest.html",
            "--out",
            "{job}/backtest.md",
            "--thresholds",
            "{job}/thresholds.json",
        ]
        return [["backtest", path, "--recording", str(folder), *wanted]], {"bundle": bundle, "source": source}

    def _ended(self, about: Mapping[str, Any], folder: Path) -> Mapping[str, str]:
        """Which bundle a build made: its last line says where."""
        if about["kind"] != "build":
            return {}
        last = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
        name = Path(last).name
        if name not in self.bundles():
            raise EdgeError("the build ended and named no bundle: see its output")
        return {"bundle": name}


def _toolchain(export: Sequence[str]) -> tuple[tuple[str, ...] | None, dict[str, str]]:
    """The command, None: it is not here; and its environment."""
    environment = dict(os.environ) | {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    if export:
        return tuple(export), environment
    found = importlib.util.find_spec("exporters")  # by name: this process imports nothing of it
    if found is None or found.origin is None:
        return None, environment
    paths = [str(Path(found.origin).parents[1]), environment.get("PYTHONPATH", "")]
    return (sys.executable, "-m", "exporters"), environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise EdgeError(f"{path.name} is not there: {error.strerror}") from error
    if len(content) > most:
        raise EdgeError(f"{path.name} is larger than {most // MB} MB: look at it on this machine")
    return content

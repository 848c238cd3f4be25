"""One job of the toolchain at a time, as a child process: its folder, its output as it comes, its end, and taking it back.

A job's folder holds everything of it: ``job.json`` what and who, ``output.txt`` what the commands said. The child comes after everything else on this
machine, and is the first to go when memory ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import ConfigError, EdgeError, RejectedInput
from edge.parsing.structure import Bounds, json_within

ABOUT, OUTPUT = "job.json", "output.txt"
MOST_JOBS = 200  # that are listed, the newest
MOST_TOLD = 60_000  # bytes of output in one answer
GRACE_S = 15.0  # from the request to end to the end by force
CLOSING_S = 4.0  # the same when the page itself stops
NICE = 10
BOUNDS = Bounds(size_bytes=20_000, values=500)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """A job to do.

    Args:
        kind: plan, build or backtest.
        user: who asked.
        about: facts of it, for the page.
        commands: one after the other, until one fails; ``{job}`` in an argument is the job's folder.
    """

    kind: str
    user: str
    about: Mapping[str, str]
    commands: Sequence[Sequence[str]]


class Jobs:
    """A queue of one: a second job is refused while one runs.

    Args:
        folder: of all jobs.
        environment: of the commands.
        ended: called with the job's facts and folder when it worked; what it returns is kept with them.
    """

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        ended: Callable[[Mapping[str, Any], Path], Mapping[str, str]],
    ) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._ended = ended
        self._lock = threading.Lock()
        self._running: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_cancelled = False
        self._thread: threading.Thread | None = None

    def start(self, order: Order, now: str) -> str:
        """Begin; returns the job's name.

        Args:
            order: what.
            now: RFC 3339 in UTC.

        Raises:
            ConfigError: another job runs.
            EdgeError: the disk refuses.
        """
        with self._lock:
            if self._running is not None:
                raise ConfigError(f"{self._running} runs: wait for it, or cancel it")
            name = f"{now.replace('-', '').replace(':', '').partition('.')[0]}-{order.kind}"
            folder = self._folder / name
            about = {"job": name, "kind": order.kind, "user": order.user, "at": now, **order.about, "status": "running"}
            try:
                folder.mkdir(parents=True)
                _write(folder, about)
            except FileExistsError as error:
                raise ConfigError("another job began in this second: ask again") from error
            except OSError as error:
                raise EdgeError(f"no job can begin: {error.strerror or error}") from error
            self._running, self._is_cancelled = name, False
            commands = [[part.replace("{job}", str(folder)) for part in command] for command in order.commands]
            self._thread = threading.Thread(target=self._work, args=(folder, about, commands), name="job", daemon=True)
            self._thread.start()
            return name

    def cancel(self) -> str:
        """Ask the running job to end, by force after a while; returns its name.

        Raises:
            ConfigError: none runs.
        """
        with self._lock:
            if self._running is None:
                raise ConfigError("no job runs")
            self._is_cancelled = True
            self._signal(signal.SIGTERM)
            timer = threading.Timer(GRACE_S, self._force, (self._running,))
            timer.daemon = True
            timer.start()
            return self._running

    def close(self) -> None:
        """End the running job: the page stops."""
        with contextlib.suppress(ConfigError):
            self.cancel()
        if self._thread is not None:
            self._thread.join(CLOSING_S)
        with self._lock:
            self._signal(signal.SIGKILL)

    def running(self) -> str | None:
        """The job that runs now."""
        with self._lock:
            return self._running

    def listing(self) -> list[dict[str, Any]]:
        """Jobs, the newest first."""
        names = sorted((path.name for path in self._folder.glob("*-*") if path.is_dir()), reverse=True)[:MOST_JOBS]
        return [self.about(name) for name in names]

    def about(self, name: str) -> dict[str, Any]:
        """Facts of a job; one that says it runs although it does not ended with an earlier page."""
        try:
            found = json_within((self.folder(name) / ABOUT).read_bytes(), BOUNDS)
        except (OSError, RejectedInput):
            found = None
        about = dict(found) if isinstance(found, dict) else {"job": name, "status": "damaged"}
        if about.get("status") == "running" and self.running() != name:
            about["status"] = "failed"
            about["why"] = "the page ended before it did"
        return about

    def output(self, name: str, start: int) -> tuple[str, int]:
        """What its commands said from a byte on, and where to go on from.

        Raises:
            EdgeError: there is no such job.
        """
        path = self.folder(name) / OUTPUT
        if not path.exists():
            return "", 0
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(min(max(start, size - MOST_TOLD) if start == 0 else start, size))
            found = file.read(MOST_TOLD)
            return found.decode("utf-8", "replace"), file.tell()

    def folder(self, name: str) -> Path:
        """A job's folder, by a name that is there.

        Raises:
            EdgeError: there is no such job.
        """
        if name not in {path.name for path in self._folder.glob("*-*")}:
            raise EdgeError("there is no such job")
        return self._folder / name

    # The thread of a job.

    def _work(self, folder: Path, about: dict[str, str], commands: Sequence[Sequence[str]]) -> None:
        status, why = "failed", "an internal error: see the log of edge-page"
        try:
            status, why = self._run(folder, commands)
            if status == "done":
                about |= self._ended(about, folder)
        except EdgeError as error:
            status, why = "failed", str(error)
        except Exception:  # noqa: BLE001 - whatever it is, the next job can begin
            _log.exception("internal error in a job")
        finally:
            with contextlib.suppress(OSError):
                _write(folder, about | {"status": status, "why": why})
            _log.info("%s of %s: %s %s", folder.name, about["user"], status, why)
            with self._lock:
                self._running, self._process = None, None

    def _run(self, folder: Path, commands: Sequence[Sequence[str]]) -> tuple[str, str]:
        with (folder / OUTPUT).open("ab") as output:
            for command in commands:
                with self._lock:
                    if self._is_cancelled:
                        return "cancelled", ""
                    try:
                        self._process = subprocess.Popen(
                            command,
                            cwd=folder,
                            env=self._environment,
                            stdin=subprocess.DEVNULL,
                            stdout=output,
                            stderr=output,
                            start_new_session=True,
                        )
                    except OSError as error:
                        return "failed", f"{command[0]} cannot be started: {error.strerror}"
                    process = self._process
                _step_back(process.pid)
                status = process.wait()
                if status != 0 and self._was_cancelled():
                    return "cancelled", ""
                if status != 0:
                    return "failed", f"it ended with status {status}: see its output"
        return "done", ""

    def _was_cancelled(self) -> bool:
        with self._lock:
            return self._is_cancelled

    def _force(self, name: str) -> None:
        with self._lock:
            if self._running == name:
                self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def _step_back(pid: int) -> None:
    """The plant's programs come first: for the processor, and for memory."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000", encoding="ascii")


def _write(folder: Path, about: Mapping[str, str]) -> None:
    part = folder / f"{ABOUT}.part"
    part.write_text(json.dumps(about), encoding="utf-8")
    os.replace(part, folder / ABOUT)  # noqa: PTH105 - Path.replace is the same, os.replace says that it is atomic

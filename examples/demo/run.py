"""The demo's cast and its course: broker, daemon and plant as processes, an operator, and the watch over them."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edge.broker.connection import Connection
from edge.bundle import Bundle
from edge.errors import EdgeError, WrongBoard
from edge.site.settings import Site, load_site
from edge.system.board import check_board, machine_facts
from edge.wire.envelope import Incoming, Outgoing, Subscription
from edge.wire.message import timestamp
from edge.wire.messages import Alarm
from edge.wire.requests import Command
from examples.demo.broker import free_port
from examples.demo.pace import pace_of
from examples.demo.page import DemoPage, is_installed, step_back
from examples.demo.site import site_document, toml_text
from examples.demo.story import CHANNELS, channels_for, line_settings
from examples.demo.watch import Watch
from examples.line.line import Line

START_TIMEOUT_S = 60.0
SETTLE_S = 4.0  # after the last frame: its flags, and a heartbeat that counts it
REFRESH_S = 0.12
ACK_FROM = 0.35  # share of the run after which the operator looks at the alarms
ACK_ANY_FROM = 0.7  # from here on a returned alarm will do
ACK_AGE_S = 0.6  # a person needs a moment


class DemoFailed(EdgeError):  # noqa: N818 - names what happened, as edge.errors does
    """A part of the demo did not start or died; the text names it, and shows the end of its log."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line; `broker` None: an embedded one, `page` opens the operators' page where it is installed."""

    bundle: Path
    broker: tuple[str, int] | None
    seconds: float
    fps: float
    seed: int
    keep_frames: bool = False
    page: bool = False


class Child:
    """A process of the demo, its standard error kept for the case that it dies."""

    def __init__(self, name: str, arguments: list[str], folder: Path, *, talks: bool = False) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments], stdin=pipe, stdout=pipe, stderr=log, text=talks
            )
        if talks:
            assert self.process.stdout is not None  # noqa: S101 - a pipe was asked for
            self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
            self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.put(line)

    def write_line(self, text: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None  # noqa: S101 - only children with a pipe are written to
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def check(self) -> None:
        """Raise DemoFailed when it has ended although it should not have."""
        if self.process.poll() not in (None, 0):
            raise DemoFailed(f"the {self.name} ended with status {self.process.returncode}: {self.log_tail()}")

    def log_tail(self) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return text[-600:] or "its log is empty"

    def stop(self, timeout_s: float = 5.0) -> int:
        """SIGTERM, then SIGKILL; returns its status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


class Demo:
    """One run.

    Args:
        options: what was asked for.
        bundle: opened.
        folder: for the site file and logs.
        show: called often with the watch, to draw it.
    """

    def __init__(self, options: Options, bundle: Bundle, folder: Path, show: Callable[[Watch], None]) -> None:
        self._options, self._folder, self._show = options, folder, show
        self._children: list[Child] = []
        self._page: Child | None = None  # none of the children: the demo goes on without it
        self._inbox: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
        self._link: Connection | None = None
        self._asked: str | None = None
        self.daemon_status: int | None = None
        self.frames: dict[int, bytes] = {}
        channels = channels_for(fault.id for fault in bundle.manifest.faults)
        if not any(channel.vision for channel in channels):
            known = ", ".join(channel.vision for channel in CHANNELS if channel.vision)
            raise DemoFailed(f"the bundle {bundle.path} asks for no fault of the simulated line; it has {known}")
        self._other_board = _other_board(bundle)
        self._bundle = bundle
        self._channels = channels
        self._pace = pace_of(bundle, options.fps)
        settings = line_settings(channels, seed=options.seed, fps=self._pace.fps)
        self._frame_count = max(1, round(options.seconds * self._pace.fps))
        self.site: Site | None = None
        self.watch = Watch(Line(settings, self._frame_count), channels, prefix="")

    def run(self) -> None:
        """Start everything, let the line run, wait for its last flags.

        Raises:
            DemoFailed: something did not start, or died.
        """
        host, port = self._options.broker or ("127.0.0.1", free_port())
        if self._options.broker is None:
            self._start("broker", ["-m", "examples.demo.broker", str(port)])
        config = self._folder / "site.toml"
        document = site_document(
            self._bundle.path.resolve(),
            self._channels,
            host=host,
            port=port,
            budget_ms=self._pace.budget_ms,
            other_board=self._other_board is not None,
        )
        config.write_text(toml_text(document), encoding="utf-8")
        self.site = site = load_site(config)
        self.watch.prefix = site.prefix()
        if self._other_board:
            self.watch.note("start", f"{self._other_board}; it runs here all the same, without its latency proof")
        if self._pace.note:
            self.watch.note("start", self._pace.note)
        self._connect(site)
        self._start("daemon", ["-m", "edge", "run", "--config", str(config)])
        self._open_page(host, port)
        arguments = [
            "--seed",
            str(self._options.seed),
            "--fps",
            str(self._pace.fps),
            "--frames",
            str(self._frame_count),
        ]
        plant = self._start("plant", ["-m", "examples.demo.plant", "--config", str(config), *arguments], talks=True)
        self._until(self._everybody_ready, START_TIMEOUT_S, "broker, daemon and plant to be ready")
        self.watch.note("start", "everything is up: the line starts")
        plant.write_line("start")
        self._until(lambda: self.watch.plant_done, self._options.seconds * 3 + START_TIMEOUT_S, "the line to end")
        self._until(self._settled, SETTLE_S, None)

    def close(self) -> None:
        """Stop everything, the daemon first so that its last messages are received; what it retained on a broker of others is cleared."""
        if self._page is not None:
            self._page.stop()
        for child in reversed(self._children):
            if child.name == "broker" and self._link is not None:
                self._link.stop()
            status = child.stop()
            if child.name == "daemon":
                self.daemon_status = status
                self._clear_retained()
        if self._link is not None:
            self._link.stop()

    # --- the course ------------------------------------------------------------------------------------------------------------------

    def _start(self, name: str, arguments: list[str], *, talks: bool = False) -> Child:
        child = Child(name, arguments, self._folder, talks=talks)
        self._children.append(child)
        return child

    def _open_page(self, host: str, port: int) -> None:
        if not self._options.page or not is_installed():
            return
        page = DemoPage(self._folder, host, port)
        self._page = Child("page", page.arguments, self._folder)
        step_back(self._page.process.pid)
        self.watch.page = page.words
        self.watch.note("start", page.words)

    def _connect(self, site: Site) -> None:
        topics = {"state": 1, "meta": 1, "heartbeat": 0, "flag/+": 0, "alarm/+": 1, "res/+": 1}
        wanted = [Subscription(f"{site.prefix()}/{topic}", qos) for topic, qos in topics.items()]
        if self._options.keep_frames:
            wanted.append(Subscription(site.frame_topic(site.cameras[0]), 0))
        self._link = Connection(
            site.broker, client_id=f"{site.node.id}-scada", subscriptions=wanted, on_message=self._inbox.put
        )
        self._link.start()
        self._until(
            lambda: self._link is not None and self._link.connected,
            START_TIMEOUT_S,
            f"a broker at {site.broker.host}:{site.broker.port}",
        )

    def _everybody_ready(self) -> bool:
        watch = self.watch
        return watch.plant_ready and watch.meta is not None and watch.sensors_received()

    def _settled(self) -> bool:
        camera = self.watch.camera
        return camera is not None and camera.received >= len(self.watch.sent) <= camera.verdicts + sum(
            camera.dropped.values()
        )

    def _until(self, condition: Callable[[], bool], timeout_s: float, what: str | None) -> None:
        """Keep everything going until the condition holds; `what` None: running out of time is no failure."""
        end_s = time.monotonic() + timeout_s
        drawn_s = 0.0
        while not condition():
            for child in self._children:
                child.check()
            self._drain()
            self._operate()
            now_s = time.monotonic()
            if now_s - drawn_s >= REFRESH_S:
                drawn_s = now_s
                self._show(self.watch)
            if now_s > end_s:
                if what is None:
                    return
                raise DemoFailed(f"waited {timeout_s:.0f} s for {what}; {self._hints()}")
            time.sleep(0.02)
        self._drain()
        self._show(self.watch)

    def _drain(self) -> None:
        for child in self._children:
            while not child.lines.empty():
                self.watch.on_plant_line(child.lines.get())
        while not self._inbox.empty():
            incoming = self._inbox.get()
            if incoming.topic.endswith(f"/in/frame/{self.site.cameras[0].id if self.site else ''}"):
                self.frames[len(self.frames) + 1] = incoming.payload
            else:
                self.watch.arrived(incoming)

    def _operate(self) -> None:
        """The operator: acknowledges one alarm, in the middle of the run; if it was raised again meanwhile, acknowledges the new occurrence."""
        reply = self.watch.replies.get(self._asked) if self._asked is not None else None
        if reply is not None and reply.code == "stale_occurrence":
            self._asked = None
        share = self.watch.t_s / self._options.seconds
        if self._asked is not None or self._link is None or share < ACK_FROM:
            return
        states = ("UNACK_ALM", "RTN_UNACK") if share >= ACK_ANY_FROM else ("UNACK_ALM",)
        seen = {name: t_s for t_s, name in self.watch.raised}
        for alarm in self.watch.alarms.values():
            if (
                alarm.kind == "process"
                and alarm.state in states
                and self.watch.t_s - seen.get(alarm.id, 0.0) >= ACK_AGE_S
            ):
                self._acknowledge(self._link, alarm)
                return

    def _acknowledge(self, link: Connection, alarm: Alarm) -> None:
        self._asked = uuid.uuid4().hex
        command = Command(
            request_id=self._asked,
            issued_at=timestamp(time.time_ns()),
            user="operator",
            comment="seen, on my way",
            alarm_id=alarm.id,
            occurrence_id=alarm.occurrence_id,
        )
        link.publish(Outgoing(f"{self.watch.prefix}/cmd/ack", command.encode(), qos=1))
        self.watch.note("operator", f"acknowledges {alarm.id}: {command.comment}")

    @property
    def acknowledged(self) -> bool | None:
        """Whether the operator's acknowledgement was accepted; None: there was no alarm to acknowledge."""
        if self._asked is None:
            return None
        reply = self.watch.replies.get(self._asked)
        return reply is not None and reply.ok

    def _clear_retained(self) -> None:
        if self._options.broker is None or self._link is None:
            return
        names = ["state", "meta", *(f"{kind}/{name}" for kind in ("alarm", "explain") for name in self.watch.alarms)]
        for name in names:
            self._link.publish(Outgoing(f"{self.watch.prefix}/{name}", b"", qos=1, retain=True))

    def _hints(self) -> str:
        watch = self.watch
        missing = [
            name
            for name, there in {
                "the daemon's meta": watch.meta is not None,
                "a value of every sensor at the daemon": watch.sensors_received(),
                "the plant's first pictures": watch.plant_ready,
            }.items()
            if not there
        ]
        logs = "; ".join(f"{child.name}: {child.log_tail()}" for child in self._children)
        return f"missing: {', '.join(missing) or 'nothing'}. {logs}"


def _other_board(bundle: Bundle) -> str | None:
    """Why the bundle was made for other hardware than this, or None."""
    facts = machine_facts()
    try:
        check_board(bundle.manifest.target, arch=facts.arch, cpu_flags=facts.cpu_flags, memory_mib=facts.memory_mib)
    except WrongBoard as error:
        return str(error)
    return None


def keep_quiet() -> None:
    """Nothing but the demo writes to this terminal: what goes wrong with the connection shows in the checks."""
    logging.getLogger("edge").setLevel(logging.CRITICAL)
    logging.getLogger("edge").addHandler(logging.NullHandler())

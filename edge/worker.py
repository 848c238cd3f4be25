"""The inference thread: frames by earliest deadline, and between them readings, commands, timers and reports.

Everything that decides or speaks happens here, on one thread, so verdicts, alarms and messages need no locks and come in one order. The
network threads only leave things in the slots and the inbox. `turn` is one round and takes no clock of its own, so tests drive it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edge.annunciator import Annunciator
from edge.channel import Channel
from edge.clock import Clock
from edge.command import CommandDesk, Refused, Request, Verb, refuse, usable_response_topic
from edge.envelope import Incoming
from edge.errors import RejectedInput
from edge.explain.explainer import Explainer
from edge.frame import Evidence, Frame, Reading
from edge.health import Health
from edge.journal import Journal
from edge.lens import Lens
from edge.messages import Command, Reply
from edge.path import FramePath
from edge.publish import Publisher
from edge.report import Reporter
from edge.rules import Rule
from edge.self_monitoring import SelfMonitor
from edge.settings import Site
from edge.snapshot import Snapshots

TICK_NS = 50_000_000
MAX_READINGS = 8192  # between two ticks; at 2,000 a second there are 100
MAX_COMMANDS = 256

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Inbox:
    """What the network threads leave for the inference thread; bounded, the oldest give way and are counted."""

    readings: deque[Reading] = field(default_factory=lambda: deque(maxlen=MAX_READINGS))
    commands: deque[Incoming] = field(default_factory=lambda: deque(maxlen=MAX_COMMANDS))
    reconnected: bool = False
    overflow: int = 0

    def put_reading(self, reading: Reading) -> None:
        """Leave a sensor value."""
        self.overflow += len(self.readings) == MAX_READINGS
        self.readings.append(reading)

    def put_command(self, incoming: Incoming) -> None:
        """Leave a command."""
        self.overflow += len(self.commands) == MAX_COMMANDS
        self.commands.append(incoming)

    def take_readings(self) -> Iterator[Reading]:
        """What is there now, oldest first."""
        for _ in range(len(self.readings)):
            yield self.readings.popleft()


class Worker:
    """One round after another over everything that happened.

    Args:
        site: cameras and sensors with their stale times.
        clock: the two clocks.
        path: takes frames to flags.
        channels: every flag channel.
        rules: the sensor rules by id.
        annunciator: the alarms.
        publisher: where messages go.
        journal: keeps what must not be lost.
        health: the ledger.
        reporter: heartbeat, state and meta.
        inbox: what the network threads leave.
        lenses: what knows of each camera whether its pictures can be trusted; the path feeds them.
        tensor: what kind of pictures the lenses measure; a baseline of another kind says nothing.
        explainer: tells about alarms in time left over; None: nobody does.
        snapshots: sends pictures to who may ask; the path feeds it. None: nobody may.
        desk: checks commands; it outlives a reload, so that what was answered before is not executed again.
        taken_over: when somebody else last took one of our connections, monotonic ns; None: never.
        refused: what the broker refuses of us now; None: not known yet.
        reload: begins a reload and says why not, or None; whoever finishes it calls `answer`.
    """

    def __init__(
        self,
        *,
        site: Site,
        clock: Clock,
        path: FramePath,
        channels: Sequence[Channel],
        rules: Mapping[str, Rule],
        annunciator: Annunciator,
        publisher: Publisher,
        journal: Journal,
        health: Health,
        reporter: Reporter,
        inbox: Inbox,
        lenses: Mapping[str, Lens] | None = None,
        tensor: str = "",
        explainer: Explainer | None = None,
        snapshots: Snapshots | None = None,
        desk: CommandDesk | None = None,
        taken_over: Callable[[], int | None] = lambda: None,
        refused: Callable[[], Sequence[str] | None] = lambda: (),
        reload: Callable[[Request, Incoming], str | None] = lambda _request, _incoming: "there is nothing to reload",
    ) -> None:
        self._site = site
        self._clock = clock
        self._path = path
        self._channels = tuple(channels)
        self._rules_of: dict[str, list[Rule]] = {}
        for rule in rules.values():
            self._rules_of.setdefault(rule.spec.sensor, []).append(rule)
        self._annunciator = annunciator
        self._publisher = publisher
        self._journal = journal
        self._health = health
        self._reporter = reporter
        self._inbox = inbox
        self._explainer = explainer
        self._snapshots = snapshots or Snapshots(site, lambda _outgoing: None)
        self._desk = desk or CommandDesk(site.commands.refused)
        self._reload = reload
        self._monitor = SelfMonitor(
            site=site,
            clock=clock,
            channels=self._channels,
            annunciator=annunciator,
            publisher=publisher,
            journal=journal,
            health=health,
            lenses=lenses or {},
            tensor=tensor,
            taken_over=taken_over,
            refused=refused,
        )
        self._next_tick_ns = clock.monotonic_ns()
        self._sampled: dict[str, Evidence] = {}
        self._by_frame: set[str] = set()  # channels that a frame gave a sample since the last tick

    def turn(self, frame: Frame | None) -> None:
        """Take one frame, if there is one, to its flags; then whatever else is due."""
        if frame is not None:
            self._frame(frame)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_tick_ns or self._inbox.commands or self._inbox.reconnected:
            self._next_tick_ns = now_ns + TICK_NS
            self._tick(now_ns, self._clock.wall_ns())
        if frame is None and self._explainer is not None:
            self._explainer.step()

    def wait_s(self) -> float:
        """How long the worker may wait for the next frame, s."""
        now_ns = self._clock.monotonic_ns()
        if self._explainer is not None and self._explainer.ready(now_ns):
            return 0.0
        return max(0.0, (self._next_tick_ns - now_ns) / 1e9)

    def _frame(self, frame: Frame) -> None:
        verdicts = self._path.process(frame)
        now_ns, now_wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        if self._explainer is not None and verdicts:
            self._explainer.look(frame, [(channel.spec.id, channel.vision(now_ns)) for channel, _ in verdicts])
        for channel, evidence in verdicts:
            self._by_frame.add(channel.spec.id)
            fresh = channel.borne_out(evidence.verdict, now_ns, seen=True, heard=())
            self._sample(channel, evidence, now_ns, now_wall_ns, frame, fresh=fresh)
            self._publisher.value(channel.spec.id, evidence, now_ns, now_wall_ns)

    def _tick(self, now_ns: int, now_wall_ns: int) -> None:
        if self._inbox.overflow:
            self._health.rejected("inbox_overflow", count=self._inbox.overflow)
            self._inbox.overflow = 0
        heard: set[str] = set()
        for reading in self._inbox.take_readings():
            heard.add(reading.sensor)
            for rule in self._rules_of.get(reading.sensor, ()):
                rule.update(reading)
        for channel in self._channels:
            self._look(channel, heard, now_ns, now_wall_ns)
        self._by_frame.clear()
        say_anew = self._monitor.watch(now_ns, now_wall_ns)
        self._annunciator.tick(now_ns, now_wall_ns)
        while self._inbox.commands:
            self._command(self._inbox.commands.popleft(), now_ns, now_wall_ns)
        if say_anew or self._inbox.reconnected or self._journal.fell_behind():
            self._inbox.reconnected = False
            self._say_everything(now_ns, now_wall_ns)
        self._journal.relieve(now_ns)
        self._reporter.tick(now_ns, now_wall_ns)

    def _look(self, channel: Channel, heard: set[str], now_ns: int, now_wall_ns: int) -> None:
        """Between frames: sensors speak, time passes for the alarm's delays, and what was seen grows stale.

        A channel with rules that no frame gave a sample is looked at each time, so that a dead camera holds back no alarm of its sensors.
        """
        evidence = channel.evidence(now_ns)
        last = self._sampled.get(channel.spec.id)
        moved = last is None or (last.verdict, last.quality) != (evidence.verdict, evidence.quality)
        alone = bool(channel.sensors) and channel.spec.id not in self._by_frame
        if moved or alone or not heard.isdisjoint(channel.sensors):
            self._publisher.flag(channel.spec.id, evidence, now_ns, now_wall_ns)
            fresh = channel.borne_out(evidence.verdict, now_ns, seen=False, heard=heard)
            self._sample(channel, evidence, now_ns, now_wall_ns, None, fresh=fresh)
            self._publisher.value(channel.spec.id, evidence, now_ns, now_wall_ns)

    def _sample(
        self,
        channel: Channel,
        evidence: Evidence,
        now_ns: int,
        now_wall_ns: int,
        frame: Frame | None,
        *,
        fresh: bool,
    ) -> None:
        self._sampled[channel.spec.id] = evidence
        if channel.spec.id in self._annunciator:
            self._annunciator.sample(channel.spec.id, evidence, now_ns, now_wall_ns, frame, fresh=fresh)

    def _command(self, incoming: Incoming, now_ns: int, now_wall_ns: int) -> None:
        verb = incoming.topic.rpartition("/")[2]
        try:
            found = self._desk.check(verb, incoming.payload, now_wall_ns, retained=incoming.retained)
            if isinstance(found, Refused):
                self.answer(found, found.reply, incoming)
            elif found.verb is Verb.RELOAD:
                self._begin_reload(found, incoming)
            else:
                self.answer(found, self._reply(found, now_ns, now_wall_ns), incoming)
        except RejectedInput as error:
            _log.warning("command refused: %s", error)
            self._reject(verb, error, now_ns, now_wall_ns)
        except Exception as error:  # noqa: BLE001 - whatever is in a command, it must not end the thread that flags
            self._reject(verb, _failed(verb, error), now_ns, now_wall_ns)

    def _reject(self, verb: str, error: RejectedInput, now_ns: int, now_wall_ns: int) -> None:
        """Count and journal a command that cannot be answered."""
        self._health.rejected(error.reason)
        event = self._publisher.event("command", verb[:64], "rejected", now_wall_ns, detail=str(error)[:300])
        self._publisher.record(now_ns, [event])

    def _begin_reload(self, request: Request, incoming: Incoming) -> None:
        """Reading, loading and proving take a while: the answer comes when it is done, and a repeated request hears that it is not."""
        under_way = refuse(request.command, "busy", "the reload is under way; its answer comes when it is done")
        self._desk.answered(under_way)
        refusal = self._reload(request, incoming)
        if refusal is not None:
            self.answer(request, refuse(request.command, "busy", refusal), incoming)

    def answer(self, asked: Request | Refused, reply: Reply, incoming: Incoming) -> None:
        """Journal a command, whatever came of it, remember the answer and give it."""
        if isinstance(asked, Request):
            self._desk.answered(reply)
        self._note_command(asked, reply, self._clock.monotonic_ns(), self._clock.wall_ns())
        topic, correlation = incoming.response_topic, incoming.correlation
        if topic is not None and not usable_response_topic(topic, self._site.prefix()):
            self._health.rejected("bad_response_topic")
            topic = None
        self._publisher.reply(asked.verb.value, reply, topic=topic, correlation=correlation)

    def _note_command(self, asked: Request | Refused, reply: Reply, now_ns: int, now_wall_ns: int) -> None:
        command = asked.command
        about = command.alarm_id or command.camera or command.bundle or ""
        event = self._publisher.event(
            "command",
            asked.verb.value,
            reply.code,
            now_wall_ns,
            occurrence_id=command.occurrence_id,
            user=command.user,
            detail=f"{about}: {reply.code}. {command.comment}".strip(),
        )
        self._publisher.record(now_ns, [event])

    def _reply(self, request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        """Carry out a request, and say what came of it even when nobody thought of that."""
        try:
            return self._carry_out(request, now_ns, now_wall_ns)
        except Exception as error:  # noqa: BLE001 - as above
            problem = _failed(request.verb, error)
            self._health.rejected(problem.reason)
            return refuse(request.command, "bad_request", problem.detail)

    def _carry_out(self, request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        match request.verb:
            case Verb.REPLAY:
                self._journal.say_again()
            case Verb.REBIRTH:
                self._say_everything(now_ns, now_wall_ns)
            case Verb.SNAPSHOT:
                return self._snapshot(request.command, now_ns)
            case Verb.EXPLAIN:
                return self._explain(request.command, now_ns)
            case _:
                reply = self._annunciator.command(request, now_ns, now_wall_ns)
                if reply.ok and request.verb is Verb.IN_SERVICE:
                    self._monitor.learn_anew(request.command.alarm_id or "", now_ns)
                return reply
        return Reply(request_id=request.command.request_id, ok=True, code="ok")

    def _snapshot(self, command: Command, now_ns: int) -> Reply:
        if command.alarm_id is None:
            return self._snapshots.send(command, command.camera, None, None, now_ns)
        if command.alarm_id not in self._annunciator:
            return refuse(command, "unknown_alarm", f"no alarm {command.alarm_id!r}; meta lists them")
        camera, occurrence_id = self._annunciator.subject(command.alarm_id)
        return self._snapshots.send(command, command.camera or camera, command.alarm_id, occurrence_id, now_ns)

    def _explain(self, command: Command, now_ns: int) -> Reply:
        alarm_id = command.alarm_id or ""
        if alarm_id not in self._annunciator:
            return refuse(command, "unknown_alarm", f"no alarm {alarm_id!r}; meta lists them")
        occurrence_id, active = self._annunciator.occurrence(alarm_id)
        if command.occurrence_id not in {None, occurrence_id}:
            return refuse(command, "stale_occurrence", f"the newest occurrence is {occurrence_id}")
        if occurrence_id is None or not active:
            return refuse(command, "not_allowed", "the alarm is not active: there is nothing to explain")
        if self._explainer is None or not self._explainer.raised(alarm_id, occurrence_id, now_ns):
            return refuse(
                command, "not_allowed", "explanations are off, or this alarm's own message says all there is to say"
            )
        return Reply(request_id=command.request_id, ok=True, code="ok", detail="told as soon as there is time")

    def _say_everything(self, now_ns: int, now_wall_ns: int) -> None:
        self._reporter.announce(now_ns, now_wall_ns)
        self._publisher.resume(self._annunciator.conditions(now_wall_ns), now_ns)


def _failed(verb: str, error: Exception) -> RejectedInput:
    """What nobody thought of, logged with its traceback, as a refusal."""
    _log.error("cmd/%s failed, which is a fault of this program; please report it", verb, exc_info=error)
    return RejectedInput("command_failed", f"cmd/{verb[:64]}: unexpected {type(error).__name__}, see the daemon's log")

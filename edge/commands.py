"""Checks a command, carries it out by the function listed for its verb, journals it and answers it.

On the inference thread only. The list of verbs is `edge.wire.verbs`; what runs beside the path brings handlers for its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edge.beside import Handler
from edge.errors import RejectedInput
from edge.health.monitor import SelfMonitor
from edge.health.status import Reporter
from edge.publish.publisher import Publisher
from edge.services import Services
from edge.wire.command import Refused, Request, accept, refuse, unreadable, usable_response_topic, without_paths
from edge.wire.envelope import Incoming
from edge.wire.requests import Command, Reply
from edge.wire.tolerance import request_id_of
from edge.wire.topics import REPLY
from edge.wire.verbs import STATE_VERBS, Verb

_log = logging.getLogger(__name__)


class Commands:
    """Executes commands.

    Args:
        services: shared.
        handlers: the function of each verb.

    Raises:
        ValueError: a verb has no handler, so the program is wrong.
    """

    def __init__(self, services: Services, handlers: Mapping[Verb, Handler]) -> None:
        missing = set(Verb) - handlers.keys()
        if missing:
            raise ValueError(f"nothing carries out {', '.join(sorted(missing))}")
        self._services = services
        self._handlers = handlers

    def take(self, incoming: Incoming, now_ns: int, now_wall_ns: int) -> None:
        """Take one message from a command topic; any error in it is handled here, and it is answered unless it was retained."""
        try:
            found = self._services.desk.check(incoming, now_wall_ns)
        except RejectedInput as error:
            self._ignore(incoming, error, now_ns, now_wall_ns)
            return
        except Exception as error:  # noqa: BLE001 - whatever is in a command, it must not end the thread that flags
            found = unreadable(incoming, self._failed(incoming.topic.rpartition("/")[2], error))
        if isinstance(found, Refused):
            self._refuse(found)
        else:
            self._carry_out(found, now_ns, now_wall_ns)

    def _refuse(self, refused: Refused) -> None:
        if refused.reason is not None:
            self._services.health.rejected(refused.reason)
        _publish_answer(
            self._services,
            refused.verb,
            refused.reply,
            command=refused.command,
            response_topic=refused.response_topic,
            correlation=refused.correlation,
        )

    def _carry_out(self, request: Request, now_ns: int, now_wall_ns: int) -> None:
        """Answer with the outcome, or remember that the answer comes later."""
        try:
            reply = self._handlers[request.verb](request, now_ns, now_wall_ns)
        except Exception as error:  # noqa: BLE001 - as above
            problem = self._failed(request.verb, error)
            self._services.health.rejected(problem.reason)
            reply = refuse(request.command, "bad_request", problem.detail)
        if reply is None:
            waits = f"the {request.verb} is under way; its answer comes when it is done"
            self._services.desk.answered(refuse(request.command, "busy", waits))
        else:
            answer(self._services, request, reply)

    def _ignore(self, incoming: Incoming, error: RejectedInput, now_ns: int, now_wall_ns: int) -> None:
        """Count and journal a command that arrived as a retained message."""
        publisher, verb = self._services.publisher, incoming.topic.rpartition("/")[2]
        _log.warning("command refused: %s", error)
        self._services.health.rejected(error.reason)
        event = publisher.event("command", verb[:64], "rejected", now_wall_ns, detail=str(error)[:300])
        publisher.record(now_ns, [event])

    def _failed(self, verb: str, error: Exception) -> RejectedInput:
        """An unexpected error, as a refusal."""
        self._services.errors.caught("commands", error)
        return RejectedInput(
            "command_failed", f"cmd/{verb[:64]}: unexpected {type(error).__name__}, see the daemon's log"
        )


def answer(services: Services, request: Request, reply: Reply) -> None:
    """Remember the answer to a request, journal both and publish it."""
    reply = reply.model_copy(update={"detail": without_paths(reply.detail)})
    services.desk.answered(reply)
    _publish_answer(
        services,
        request.verb.value,
        reply,
        command=request.command,
        response_topic=request.response_topic,
        correlation=request.correlation,
    )


def _publish_answer(
    services: Services,
    verb: str,
    reply: Reply,
    *,
    command: Command | None,
    response_topic: str | None,
    correlation: bytes | None,
) -> None:
    reply = reply.model_copy(update={"detail": without_paths(reply.detail)})
    _journal(services, verb, reply, command)
    if response_topic is not None and (
        services.is_input(response_topic) or not usable_response_topic(response_topic, services.prefix)
    ):
        services.health.rejected("bad_response_topic")
        response_topic = None
    if _is_topic(services.prefix, verb, response_topic):
        services.publisher.reply(verb, reply, topic=response_topic, correlation=correlation)


def turn_away(
    publisher: Publisher, incoming: Incoming, prefix: str, is_input: Callable[[str], bool] = lambda _topic: False
) -> None:
    """Answer a command when the inbox is full; the network thread does it, because the inference thread never sees it."""
    reply = Reply(
        request_id=request_id_of(incoming.payload), ok=False, code="busy", detail="too many commands wait: ask again"
    )
    verb, topic = incoming.topic.rpartition("/")[2], incoming.response_topic
    if topic is not None and (is_input(topic) or not usable_response_topic(topic, prefix)):
        topic = None
    if _is_topic(prefix, verb, topic):
        publisher.reply(verb, reply, topic=topic, correlation=incoming.correlation)


def _is_topic(prefix: str, verb: str, topic: str | None) -> bool:
    """Whether an answer can be sent: an unknown verb may be too long to be part of a topic."""
    return topic is not None or usable_response_topic(REPLY.at(prefix, verb), prefix)


def _journal(services: Services, verb: str, reply: Reply, command: Command | None) -> None:
    """Record a request, its user and its outcome: in the journal, and as one line in the log."""
    if command is None:
        user, occurrence_id, detail = None, None, f"{reply.code}. {reply.detail}"[:300]
    else:
        about = command.alarm_id or command.part or command.camera or command.bundle or command.profile or ""
        user, occurrence_id = command.user, command.occurrence_id
        detail = f"{about}: {reply.code}. {command.comment}".strip()
    event = services.publisher.event(
        "command",
        verb[:64],
        reply.code,
        services.clock.wall_ns(),
        occurrence_id=occurrence_id,
        user=user,
        detail=detail,
    )
    services.publisher.record(services.clock.monotonic_ns(), [event])
    _log.info("command %s by %s: %s", verb[:64], user or "an unnamed user", detail)


def node_handlers(services: Services, monitor: SelfMonitor, reporter: Reporter) -> dict[Verb, Handler]:
    """The handlers of the daemon itself: for every change of an alarm's state, and for requests to the node."""

    def in_service(request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        reply = services.annunciator.command(request, now_ns, now_wall_ns)
        if reply.ok:
            monitor.relearn(request.command.alarm_id or "", now_ns)
        return reply

    def rebirth(request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        reporter.announce(now_ns, now_wall_ns)
        return accept(request.command)

    def replay(request: Request, _now_ns: int, _now_wall_ns: int) -> Reply:
        services.journal.resend_all()
        return accept(request.command)

    def reload(request: Request, _now_ns: int, _now_wall_ns: int) -> Reply | None:
        refusal = services.reload(request)
        return None if refusal is None else refuse(request.command, "busy", refusal)

    def ack(request: Request, now_ns: int, now_wall_ns: int) -> Reply:
        return services.labels.acknowledge(request, now_ns, now_wall_ns)

    handlers: dict[Verb, Handler] = dict.fromkeys(STATE_VERBS, services.annunciator.command)
    return handlers | {
        Verb.ACK: ack,
        Verb.IN_SERVICE: in_service,
        Verb.REBIRTH: rebirth,
        Verb.REPLAY: replay,
        Verb.RELOAD: reload,
        Verb.PROFILE: services.profile,
    }

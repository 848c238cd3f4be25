"""The routes of the page: sign-in, the live stream, commands, history and evidence."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge.console.view import EVENT_COLUMNS, event_csv
from edge.errors import BrokerError, ConfigError, EdgeError, RejectedInput
from edge.page.answers import Handler, body_of, image, json_bytes, pieces, problem
from edge.page.engineer import Engineer
from edge.page.feed import Feed
from edge.page.guard import Guard
from edge.page.plant import ANSWER_S, RELOAD_S, Plant
from edge.page.sessions import Session, Sessions, Throttle, same_secret
from edge.page.settings import PageSettings
from edge.page.shelf import Shelf, facts
from edge.page.users import MOST_CHARACTERS, NOBODY, VERBS_OF, Role, Users, matches
from edge.page.workshop import Workshop
from edge.units import NS_PER_S
from edge.wire.verbs import Verb

STATIC = Path(__file__).parent / "static"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FLUSH_S = 0.15  # news of so long are one message
PULSE_S = 2.0  # a browser that hears nothing for much longer shows everything as unknown
MOST_STREAMS = 40
MOST_TRIALS = 4  # passwords that wait to be tried: each takes 16 MB and some 0.3 s of a core
MOST_HISTORY = 5_000
_FIELDS = ("alarm_id", "occurrence_id", "comment", "duration_s", "one_shot", "camera", "valid", "bundle", "weaker")
_log = logging.getLogger(__name__)


class Page:
    """Everything that the routes share.

    Args:
        settings: of the page.
        plant: connected or about to be.

    Raises:
        ConfigError: the users' file cannot be used.
    """

    def __init__(self, settings: PageSettings, plant: Plant) -> None:
        self.settings = settings
        self.plant = plant
        self.users = Users(settings.users_file)
        self.sessions = Sessions(
            round(settings.sessions.hours * 3600 * NS_PER_S), round(settings.sessions.idle_minutes * 60 * NS_PER_S)
        )
        self.throttle = Throttle()
        self.shelf = Shelf([one for one in settings.evidence if not settings.nodes or one.node in settings.nodes])
        self.is_secure = settings.server.cert_file is not None
        self.cookie = "__Host-edge_page" if self.is_secure else "edge_page"
        self.workshop = None if settings.workshop is None else Workshop(settings.workshop)
        self.stopping = asyncio.Event()
        self._streams = 0
        self._trials = 0
        self._one_trial = asyncio.Semaphore(1)

    def application(self) -> Guard:
        """The ASGI application."""
        routes = [
            Route(f"/{'' if path.name == 'index.html' else path.name}", _asset(path), methods=["GET"])
            for path in sorted(STATIC.iterdir())
            if path.suffix in TYPES
        ]
        routes += [
            Route("/api/login", self._login, methods=["POST"]),
            Route("/api/logout", self._inside(self._logout), methods=["POST"]),
            Route("/api/me", self._me, methods=["GET"]),
            Route("/api/live", self._inside(self._live, is_sign=False), methods=["GET"]),
            Route("/api/command", self._inside(self._command), methods=["POST"]),
            Route("/api/pictures/{sha256}", self._inside(self._picture), methods=["GET"]),
            Route("/api/history", self._inside(self._history), methods=["GET"]),
            Route("/api/evidence/{node}", self._inside(self._evidence), methods=["GET"]),
            Route("/api/evidence/{node}/{occurrence}", self._inside(self._recording), methods=["GET"]),
            Route("/api/evidence/{node}/{occurrence}/zip", self._inside(self._zip), methods=["GET"]),
            Route("/api/evidence/{node}/{occurrence}/{frame:int}", self._inside(self._frame), methods=["GET"]),
        ]
        if self.workshop is not None:
            routes += Engineer(self.workshop).routes(self._inside)
        app = Starlette(routes=routes, exception_handlers={HTTPException: _refused, 500: _internal})
        return Guard(app, self.settings.server.accepted_names(), "https" if self.is_secure else "http")

    # Signing in and out.

    def session(self, request: Request, *, is_sign: bool = True) -> Session | None:
        """Whose request this is."""
        token = request.cookies.get(self.cookie, "")
        name = self.sessions.name_of(token)
        if name is None:
            return None
        now_ns = time.monotonic_ns()
        found = self.sessions.get(token, self.users.get(name), now_ns)
        if found is not None and is_sign:
            found.seen_ns = now_ns
        return found

    def _inside(self, handler: Handler, *, is_sign: bool = True) -> Callable[[Request], Awaitable[Response]]:
        """A route for those who are signed in; what changes anything also carries the session's secret."""

        async def route(request: Request) -> Response:
            session = self.session(request, is_sign=is_sign)
            if session is None:
                return problem(401, "sign in first")
            if request.method == "POST" and not same_secret(request.headers.get("x-csrf-token", ""), session.csrf):
                return problem(403, "this request does not carry the session's secret: load the page again")
            try:
                return await handler(request, session)
            except ConfigError as error:
                return problem(400, str(error))
            except RejectedInput as error:
                return problem(400, error.detail)
            except EdgeError as error:
                return problem(404, str(error))

        return route

    async def _login(self, request: Request) -> Response:
        try:
            given = await body_of(request)
        except RejectedInput as error:
            return problem(400, error.detail)
        name, password = str(given.get("user", ""))[:64], str(given.get("password", ""))
        address = request.client.host if request.client else "?"
        wait_s = self.throttle.wait_s(name, address, time.monotonic_ns())
        if wait_s > 0 or self._trials >= MOST_TRIALS:
            pause = {"Retry-After": str(int(wait_s) + 1)}
            return problem(429, f"too many trials: wait {int(wait_s) + 1} s", pause)
        user = self.users.get(name)
        self._trials += 1
        try:
            async with self._one_trial:
                is_right = await run_in_threadpool(
                    matches, password[: MOST_CHARACTERS + 1], NOBODY if user is None else user.secret
                )
        finally:
            self._trials -= 1
        if user is None or not is_right:
            self.throttle.failed(name, address, time.monotonic_ns())
            _log.warning("sign-in refused: user %s from %s", ascii(name), address)
            return problem(403, "name or password is wrong")
        self.throttle.succeeded(name, address)
        token, session = self.sessions.begin(user, time.monotonic_ns())
        _log.info("signed in: %s (%s) from %s", name, user.role, address)
        response = JSONResponse(self._about(session))
        response.set_cookie(self.cookie, token, httponly=True, samesite="strict", secure=self.is_secure, path="/")
        return response

    async def _logout(self, request: Request, session: Session) -> Response:
        self.sessions.end(request.cookies.get(self.cookie, ""))
        _log.info("signed out: %s", session.user.name)
        response = JSONResponse({"ok": True})
        response.delete_cookie(self.cookie, path="/", secure=self.is_secure, httponly=True, samesite="strict")
        return response

    async def _me(self, request: Request) -> Response:
        session = self.session(request)
        return JSONResponse({"user": None} if session is None else self._about(session))

    def _about(self, session: Session) -> dict[str, Any]:
        role = session.user.role
        return {
            "user": session.user.name,
            "role": role.value,
            "verbs": sorted(VERBS_OF[role]),
            "csrf": session.csrf,
            "title": self.settings.title,
            "evidence": self.shelf.nodes(),
            "workshop": self.workshop is not None and role is Role.ENGINEER,
        }

    # What is now.

    async def _live(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        if self._streams >= MOST_STREAMS:
            return problem(503, "too many browsers watch at once")
        return StreamingResponse(
            self._stream(request), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _stream(self, request: Request) -> AsyncIterator[bytes]:
        feed, quiet_s = Feed(self.plant.board), 0.0
        self._streams += 1
        try:
            yield b"retry: 2000\nevent: begin\ndata: {}\n\n"
            while not self.stopping.is_set():
                news = feed.news()
                if news is not None:
                    yield b"data: %b\n\n" % json_bytes(news)
                    quiet_s = 0.0
                elif quiet_s >= PULSE_S:
                    yield b"event: pulse\ndata: {}\n\n"
                    quiet_s = 0.0
                if self.session(request, is_sign=False) is None:
                    yield b"event: over\ndata: {}\n\n"
                    return
                await asyncio.sleep(FLUSH_S)
                quiet_s += FLUSH_S
        finally:
            self._streams -= 1

    # Commands.

    async def _command(self, request: Request, session: Session) -> Response:
        given = await body_of(request)
        node, verb = str(given.get("node", "")), str(given.get("verb", ""))
        if verb not in set(Verb):
            return problem(400, "there is no such command")
        if Verb(verb) not in VERBS_OF[session.user.role]:
            return problem(403, f"the role {session.user.role.value} may not {verb.replace('_', ' ')}")
        if node not in self.plant.board.nodes:
            return problem(404, "there is no such node")
        if Verb(verb) is Verb.ACK and not given.get("occurrence_id"):
            return problem(400, "an acknowledgement names the occurrence that was seen")
        fields = {name: given[name] for name in _FIELDS if given.get(name) is not None} | {"user": session.user.name}
        try:
            future = self.plant.command(node, Verb(verb), fields)
        except BrokerError as error:
            return problem(503, str(error))
        patience_s = RELOAD_S if Verb(verb) is Verb.RELOAD else ANSWER_S
        try:
            reply = await asyncio.wait_for(asyncio.wrap_future(future), patience_s)
        except TimeoutError:
            self.plant.forget(future)
            _log.warning("no answer: %s of %s at %s", verb, session.user.name, ascii(node))
            return problem(504, _no_answer(verb, patience_s, is_refused=self.plant.is_refused()))
        _log.info("%s: %s at %s, %s", session.user.name, verb, node, reply.get("code"))
        return JSONResponse(dict(reply))

    async def _picture(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        for _ in range(20):  # a snapshot's answer may come before its picture
            picture = self.plant.picture(request.path_params["sha256"])
            if picture is not None:
                return image(picture)
            await asyncio.sleep(0.1)
        return problem(404, "the picture did not come, or newer ones took its place")

    # What was.

    async def _history(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        query = request.query_params
        wanted = {key: query[key] for key in ("node", "subject", "user") if query.get(key)}
        found = [{"node": node} | dict(event) for node, event in self.plant.board.history()]
        found = [event for event in found if all(event.get(key) == value for key, value in wanted.items())]
        since = query.get("since", "")
        found = [event for event in found if str(event.get("ts")) >= since][-MOST_HISTORY:]
        if query.get("form") == "csv":
            rows = [{name: event.get(name) for name in EVENT_COLUMNS} for event in found]
            headers = {"Content-Disposition": 'attachment; filename="history.csv"'}
            return Response(event_csv(rows), media_type="text/csv", headers=headers)
        return JSONResponse(found)

    async def _evidence(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        return JSONResponse(await run_in_threadpool(self.shelf.listing, request.path_params["node"]))

    async def _recording(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        found = await run_in_threadpool(self.shelf.recording, *_occurrence(request))
        return JSONResponse(facts(found))

    async def _frame(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        found = await run_in_threadpool(self.shelf.recording, *_occurrence(request))
        number = request.path_params["frame"]
        picture = None
        if number < len(found.frames):
            picture = await run_in_threadpool(found.picture, found.frames[number])
        if picture is None:
            return problem(404, "this picture is not there, or its bytes are not those that were written")
        return image(picture)

    async def _zip(self, request: Request, session: Session) -> Response:
        node, occurrence = _occurrence(request)
        held = await run_in_threadpool(self.shelf.zipped, node, occurrence)
        _log.info("evidence of %s fetched by %s", occurrence, session.user.name)
        headers = {"Content-Disposition": f'attachment; filename="{occurrence}.zip"'}
        return StreamingResponse(pieces(held), media_type="application/zip", headers=headers)


def _occurrence(request: Request) -> tuple[str, str]:
    occurrence = request.path_params["occurrence"]
    if re.fullmatch(r"[0-9A-Za-z]{1,64}", occurrence) is None:
        raise ConfigError("that is no occurrence")
    return request.path_params["node"], occurrence


def _asset(path: Path) -> Callable[[Request], Awaitable[Response]]:
    """A file of the page, held in memory; a browser asks again and is told that it has it."""
    body = path.read_bytes()
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": "no-cache"}

    async def route(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, media_type=TYPES[path.suffix], headers=headers)

    return route


async def _refused(request: Request, error: Exception) -> Response:
    """What no route answers: an unknown address, another method, a body that grew too large."""
    del request
    found = cast("HTTPException", error)
    return problem(found.status_code, found.detail, found.headers)


async def _internal(request: Request, error: Exception) -> Response:
    del request
    _log.error("internal error", exc_info=error)
    return problem(500, "an internal error: see the log of edge-page")


def _no_answer(verb: str, patience_s: float, *, is_refused: bool) -> str:
    if is_refused:
        return "the broker's access rules do not let this page send commands: see docs/page.md"
    return f"no answer in {patience_s:.0f} s: {verb} may still be carried out; look at the alarm before you ask again"

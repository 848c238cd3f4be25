"""The routes of an engineer: sort, words, plans, builds, reports, backtests. Nobody else reaches them."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from edge.page.answers import Handler, body_of, image, pieces, problem
from edge.page.sessions import Session
from edge.page.users import Role
from edge.page.workshop import Workshop
from edge.wire.message import timestamp

MOST_SHOWN = 60  # pictures of one answer
# A report is a page of its own without rights: no script, no origin, nothing from elsewhere.
REPORT_POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_JOB = re.compile(r"[0-9A-Za-z-]{1,64}")

Inside = Callable[..., Callable[[Request], Awaitable[Response]]]


class Engineer:
    """The routes over one workshop.

    Args:
        workshop: what they work on.
    """

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    def routes(self, inside: Inside) -> list[Route]:
        """All of them; `inside` lets in who is signed in."""
        get: dict[str, tuple[Handler, bool]] = {
            "": (self._state, True),
            "/pictures/{source}": (self._pictures, True),
            "/pictures/{source}/{picture}": (self._picture, True),
            "/zip": (self._zip, True),
            "/jobs/{job}/output": (self._output, False),  # asked for every second: no sign of the user
            "/jobs/{job}/report": (self._report, True),
            "/jobs/{job}/thresholds": (self._thresholds, True),
        }
        post: dict[str, Handler] = {
            "/sort": self._sort,
            "/faults": self._faults,
            "/jobs": self._begin,
            "/cancel": self._cancel,
        }
        found = [
            Route(f"/api/workshop{path}", inside(_engineers(handler), is_sign=is_sign), methods=["GET"])
            for path, (handler, is_sign) in get.items()
        ]
        return found + [
            Route(f"/api/workshop{path}", inside(_engineers(handler)), methods=["POST"])
            for path, handler in post.items()
        ]

    async def _state(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        return JSONResponse(await run_in_threadpool(self.workshop.state))

    async def _pictures(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        source, label = request.path_params["source"], request.query_params.get("label", "")
        found = await run_in_threadpool(self.workshop.sorting.pictures, source, label, MOST_SHOWN)
        return JSONResponse(found)

    async def _picture(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        where = request.path_params["source"], request.path_params["picture"]
        return image(await run_in_threadpool(self.workshop.sorting.read, *where))

    async def _sort(self, request: Request, session: Session) -> Response:
        given = await body_of(request)
        source, picture, label = (str(given.get(key, "")) for key in ("source", "picture", "label"))
        note = await run_in_threadpool(self.workshop.sort, source, picture, label, session.user.name, _now())
        return JSONResponse({"note": note})

    async def _faults(self, request: Request, session: Session) -> Response:
        given = await body_of(request)
        await run_in_threadpool(self.workshop.name_faults, given.get("faults"), session.user.name, _now())
        return JSONResponse({"ok": True})

    async def _zip(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        held = await run_in_threadpool(self.workshop.zipped, session.user.name, _now())
        headers = {"Content-Disposition": f'attachment; filename="{self.workshop.settings.name}.zip"'}
        return StreamingResponse(pieces(held), media_type="application/zip", headers=headers)

    async def _begin(self, request: Request, session: Session) -> Response:
        given = await body_of(request)
        kind = str(given.get("kind", ""))
        name = await run_in_threadpool(self.workshop.begin, kind, given, session.user.name, _now())
        return JSONResponse({"job": name})

    async def _cancel(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        return JSONResponse({"job": await run_in_threadpool(self.workshop.cancel, session.user.name, _now())})

    async def _output(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        start = request.query_params.get("from", "0")
        if not start.isdecimal() or len(start) > 12:
            return problem(400, "from is a number of bytes")
        jobs, name = self.workshop.jobs, _job(request)
        about = await run_in_threadpool(jobs.about, name)  # before its output, so that the end of it is not missed
        text, end = await run_in_threadpool(jobs.output, name, int(start))
        return JSONResponse(about | {"text": text, "end": end})

    async def _report(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        found = await run_in_threadpool(self.workshop.report, _job(request))
        headers = {"Content-Security-Policy": REPORT_POLICY}
        return Response(found, media_type="text/html; charset=utf-8", headers=headers)

    async def _thresholds(self, request: Request, session: Session) -> Response:  # noqa: ARG002 - as every route
        return JSONResponse(await run_in_threadpool(self.workshop.thresholds, _job(request)))


def _engineers(handler: Handler) -> Handler:
    """A route that only engineers reach."""

    async def route(request: Request, session: Session) -> Response:
        if session.user.role is not Role.ENGINEER:
            return problem(403, f"the role {session.user.role.value} has no workshop: an engineer has")
        return await handler(request, session)

    return route


def _job(request: Request) -> str:
    name: str = request.path_params["job"]
    return name if _JOB.fullmatch(name) else "none"


def _now() -> str:
    return timestamp(time.time_ns())

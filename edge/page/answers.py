"""What routes share: the JSON object of a request, and the kinds of answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import IO, Any, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edge.errors import RejectedInput
from edge.page.sessions import Session
from edge.parsing.structure import Bounds, json_within
from edge.wire.topics import content_type

BODY = Bounds(size_bytes=16_384, values=1_000, depth=5)

Handler = Callable[[Request, Session], Awaitable[Response]]


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        RejectedInput: it is none.
    """
    document = json_within(await request.body(), BODY)
    if not isinstance(document, dict):
        raise RejectedInput("not_json", "send a JSON object")
    return cast("dict[str, Any]", document)


def image(picture: bytes) -> Response:
    """A picture as it came."""
    return Response(picture, media_type=content_type(picture), headers={"Cache-Control": "private, max-age=600"})


def problem(status: int, words: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Why not, in words."""
    return JSONResponse({"error": words}, status, dict(headers or {}))


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """A document on one line."""
    return json.dumps(document, separators=(",", ":")).encode()


async def pieces(held: IO[bytes]) -> AsyncIterator[bytes]:
    """A file piece by piece; it is closed at the end, also when the browser leaves."""
    try:
        while piece := await run_in_threadpool(held.read, 65_536):
            yield piece
    finally:
        held.close()

"""Pictures over HTTP: an MJPEG stream, or one snapshot after another; their bytes are passed on as they came.

Every length is bounded before anything is read, and no redirect is followed: it could take the password elsewhere.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from email.message import Message
from functools import partial
from typing import IO, Any, Protocol

from edge.camera.address import filled, password, refuse_unreachable
from edge.camera.shot import Shot, SourceFailed, picture_coding
from edge.errors import ConfigError
from edge.site.source import USER, SourceSettings
from edge.units import NS_PER_MS, NS_PER_S
from edge.wire.camera import CameraTrouble

MAX_HEADER_BYTES = 8192  # of one part
_CHUNK_BYTES = 65_536
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_STATUS = {
    401: CameraTrouble.UNAUTHORIZED,
    403: CameraTrouble.FORBIDDEN,
    404: CameraTrouble.NOT_FOUND,
    410: CameraTrouble.NOT_FOUND,
    429: CameraTrouble.BUSY,
    503: CameraTrouble.BUSY,
}


class Body(Protocol):
    """The body of an answer, read in pieces as they come."""

    def read1(self, size: int = -1, /) -> bytes:
        """What is there, at most `size` bytes; empty at the end."""


class WebSource:
    """An MJPEG stream or a snapshot, whichever the camera answers with; see `edge.camera.shot.Source`.

    Args:
        source: what to open.
        max_bytes: a larger picture is refused before it is read whole.
        wall_ns: for the stamps.
        sleep: waits, s.
    """

    def __init__(
        self,
        source: SourceSettings,
        max_bytes: int,
        wall_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._wall_ns = wall_ns
        self._sleep = sleep
        self._timeout_s = source.stall_ms * NS_PER_MS / NS_PER_S

    def shots(self) -> Iterator[Shot | None]:
        """Ask, and give what the camera answers with.

        Raises:
            SourceFailed: it cannot be reached, refuses us, stalled, ended, or sends no picture.
            ConfigError: the password file or ca_file cannot be used.
        """
        secret = password(self._source)
        opener = _opener(self._source, secret)
        try:
            refuse_unreachable(self._source)
            while True:
                yield from self._answer(opener, secret)
                self._sleep(self._source.poll_ms / 1000.0)
        except urllib.error.HTTPError as error:
            error.close()
            raise SourceFailed(_of_status(error.code), f"HTTP {error.code}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _failure(error) from None

    def _answer(self, opener: urllib.request.OpenerDirector, secret: str) -> Iterator[Shot]:
        asked_wall_ns = self._wall_ns()
        with opener.open(filled(self._source, secret), timeout=self._timeout_s) as answer:
            headers: Message = answer.headers
            if headers.get_content_maintype() != "multipart":
                encoded = _whole(answer, self._max_bytes)
                yield Shot(encoded, picture_coding(encoded), asked_wall_ns)
                return
            boundary = str(headers.get_param("boundary", "")).strip('"').lstrip("-")
            for encoded in parts(answer, boundary.encode(), self._max_bytes):
                yield Shot(encoded, picture_coding(encoded), self._wall_ns())
            raise SourceFailed(CameraTrouble.ENDED, "the camera ended its answer")


def parts(body: Body, boundary: bytes, max_bytes: int) -> Iterator[bytes]:
    """The parts of a multipart body, each as soon as it is whole: by its length, or up to the next boundary.

    Args:
        body: what comes.
        boundary: without leading dashes; cameras differ in how many they write.
        max_bytes: of one part.

    Raises:
        SourceFailed: ``too_large``, or ``unsupported``: there is no boundary.
    """
    if not boundary:
        raise SourceFailed(CameraTrouble.UNSUPPORTED, "a multipart answer without a boundary")
    window = _Window(body)
    while True:
        if not window.skip_past(boundary, max_bytes):
            return
        header = window.header()
        if header is None:
            return
        declared = _LENGTH.search(header)
        length = None if declared is None else int(declared[1])
        part = window.until(b"--" + boundary, max_bytes) if length is None else window.exactly(length, max_bytes)
        if part is None:
            return
        if part:
            yield part


class _Window:
    """What was read of a body and not yet used; every search goes over each byte once."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._held = bytearray()

    def skip_past(self, mark: bytes, max_bytes: int) -> bool:
        """Leave everything up to the mark and the end of its line behind; false at the end of the body, or of the last part."""
        end = self._find(mark, max_bytes)
        if end is None:
            return False
        del self._held[: end + len(mark)]
        line = self._find(b"\n", MAX_HEADER_BYTES)
        if line is None:
            return False
        last = self._held.startswith(b"--")
        del self._held[: line + 1]
        return not last

    def header(self) -> bytes | None:
        """The lines up to the empty one; None at the end of the body."""
        lines = bytearray()
        while (end := self._find(b"\n", MAX_HEADER_BYTES - len(lines))) is not None:
            line = bytes(self._held[: end + 1])
            del self._held[: end + 1]
            if not line.strip():
                return bytes(lines)
            lines += line
        return None

    def exactly(self, length: int, max_bytes: int) -> bytes | None:
        """So many bytes; None at the end of the body."""
        _refuse_larger(length, max_bytes)
        while len(self._held) < length:
            if not self._more():
                return None
        part = bytes(self._held[:length])
        del self._held[:length]
        return part

    def until(self, mark: bytes, max_bytes: int) -> bytes | None:
        """Everything before the mark, which stays; None at the end of the body."""
        end = self._find(mark, max_bytes)
        if end is None:
            return None
        part = bytes(self._held[:end])
        del self._held[:end]
        return part.removesuffix(b"\r\n")

    def _find(self, mark: bytes, max_bytes: int) -> int | None:
        looked = 0
        while (found := self._held.find(mark, looked)) < 0:
            _refuse_larger(len(self._held), max_bytes)
            looked = max(0, len(self._held) - len(mark) + 1)
            if not self._more():
                return None
        return found

    def _more(self) -> bool:
        piece = self._body.read1(_CHUNK_BYTES)
        self._held += piece
        return bool(piece)


def _whole(body: Body, max_bytes: int) -> bytes:
    held = bytearray()
    while piece := body.read1(_CHUNK_BYTES):
        held += piece
        _refuse_larger(len(held), max_bytes)
    return bytes(held)


def _refuse_larger(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise SourceFailed(CameraTrouble.TOO_LARGE, f"more than {max_bytes} bytes in one picture")


def _opener(source: SourceSettings, secret: str) -> urllib.request.OpenerDirector:
    """Knows HTTP, HTTPS, Basic and Digest, and nothing else: no proxy, no redirect, no other scheme.

    Raises:
        ConfigError: ca_file is no PEM certificate.
    """
    opener = urllib.request.OpenerDirector()
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ]
    if source.url.startswith("https:"):
        handlers.append(urllib.request.HTTPSHandler(context=_tls(source)))
    if source.username is not None and USER not in source.url:
        known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        known.add_password(None, source.url, source.username, secret)
        handlers += [_Digest(known), _Basic(known)]
    for handler in handlers:
        opener.add_handler(handler)
    return opener


class _Basic(urllib.request.HTTPBasicAuthHandler):
    """Closes the answer that asked who we are, and leaves alone what is asked in another way; the standard library does neither."""

    def http_error_401(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> IO[bytes] | None:
        """Ask again with user and password, if that is what the camera wants."""
        wanted = any(way.lower().startswith("basic") for way in headers.get_all("www-authenticate", ()))
        return _closing(fp, partial(super().http_error_401, req, fp, code, msg, headers)) if wanted else None


class _Digest(urllib.request.HTTPDigestAuthHandler):
    """Digest with SHA-256 too (RFC 7616), and for passwords beyond ASCII, where the standard library's own fails.

    A wrong password is tried once, not five times: cameras lock an account out after a few.
    """

    def http_error_401(self, req: urllib.request.Request, fp: IO[bytes], *rest: Any) -> IO[bytes] | None:  # noqa: ANN401 - the base class's
        """Ask again with user and password."""
        return (
            None if req.has_header(self.auth_header) else _closing(fp, partial(super().http_error_401, req, fp, *rest))
        )

    def get_algorithm_impls(self, algorithm: str) -> tuple[Callable[[str], str], Callable[[str, str], str]]:
        """The hash of a text, and that of a secret with a text."""
        name = {"MD5": "md5", "SHA-256": "sha256"}.get(algorithm.upper())
        if name is None:
            raise ValueError(f"digest algorithm {algorithm!r}")

        def digest(text: str) -> str:
            return hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest()

        return digest, lambda secret, text: digest(f"{secret}:{text}")


def _closing(asked: IO[bytes], ask_again: Callable[[], IO[bytes] | None]) -> IO[bytes] | None:
    """Ask again, and close the answer that asked who we are; not where the credentials are missing, so that it is the error."""
    try:
        answer = ask_again()
    except BaseException:
        asked.close()
        raise
    if answer is not None:
        asked.close()
    return answer


def _tls(source: SourceSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if source.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=source.ca_file)
        except OSError as error:
            raise ConfigError(
                f"cameras.source.ca_file {source.ca_file} is not a readable PEM certificate: {error}"
            ) from error
    return context


def _of_status(code: int) -> CameraTrouble:
    if 300 <= code < 400:
        return CameraTrouble.NOT_FOUND
    return _STATUS.get(code, CameraTrouble.BUSY if code >= 500 else CameraTrouble.NOT_FOUND)


def _failure(error: Exception) -> SourceFailed:
    """What went wrong; never the exception's own text, which may hold the address."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SourceFailed(CameraTrouble.UNTRUSTED, reason.verify_message)
    if isinstance(reason, TimeoutError):
        return SourceFailed(CameraTrouble.STALLED, "no answer in time")
    if isinstance(reason, ConnectionRefusedError):
        return SourceFailed(CameraTrouble.UNREACHABLE, "connection refused")
    if isinstance(reason, OSError):
        return SourceFailed(CameraTrouble.ENDED, reason.strerror or type(reason).__name__)
    if isinstance(reason, http.client.IncompleteRead):
        return SourceFailed(CameraTrouble.ENDED, "its answer is cut off")
    return SourceFailed(CameraTrouble.UNSUPPORTED, type(reason).__name__)

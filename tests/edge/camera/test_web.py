"""HTTP cameras, on a real server: bytes are passed on as they came, every length is bounded, and every failure has its own code."""

from __future__ import annotations

import io
import itertools
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.camera.shot import Shot, SourceFailed
from edge.camera.web import WebSource, parts
from edge.errors import ConfigError
from edge.site.source import SourceSettings
from edge.wire.camera import CameraTrouble
from tests.stand.cameras import SECRET, USER, WebCamera, pictures

SHOWN = pictures(3)


def source(url: str, max_bytes: int = 1_000_000, **settings: object) -> WebSource:
    """A source that is patient for half a second."""
    return WebSource(SourceSettings.model_validate({"url": url, "stall_ms": 500, "poll_ms": 10} | settings), max_bytes)


def first(made: WebSource, count: int) -> list[Shot]:
    """The first pictures."""
    return [shot for shot in itertools.islice(made.shots(), count) if shot is not None]


def trouble(made: WebSource) -> SourceFailed:
    """How reading it ends."""
    with pytest.raises(SourceFailed) as caught:
        for _ in made.shots():
            pass
    return caught.value


@pytest.fixture
def camera() -> Iterator[WebCamera]:
    """A camera that asks nobody who he is."""
    made = WebCamera(SHOWN)
    yield made
    made.unplug()


@pytest.mark.parametrize("path", ["/stream", "/nolength", "/snapshot"])
def test_pictures_are_passed_on_byte_for_byte(camera: WebCamera, path: str) -> None:
    """As a stream with and without lengths, and as snapshots one after the other; each with its time."""
    shots = first(source(camera.url(path)), 4)
    assert [shot.content for shot in shots] == [*SHOWN, SHOWN[0]]
    assert {(shot.coding, shot.transcoded) for shot in shots} == {("jpeg", False)}
    stamps = [shot.captured_wall_ns for shot in shots]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_a_camera_that_asks_who_we_are_is_answered_from_the_password_file(tmp_path: Path, scheme: str) -> None:
    """A wrong password is `unauthorized`, and nothing of it is in the message."""
    camera = WebCamera(SHOWN, scheme=scheme)
    path = tmp_path / "password"
    path.write_text(SECRET, encoding="utf-8")
    path.chmod(0o600)
    assert first(source(camera.url("/stream"), username=USER, password_file=path), 1)[0].encoded(90) in SHOWN
    path.write_text("wrong-word", encoding="utf-8")
    camera.attempts = 0
    found = trouble(source(camera.url("/stream"), username=USER, password_file=path))
    assert found.trouble is CameraTrouble.UNAUTHORIZED
    assert "wrong-word" not in str(found)
    assert camera.attempts == 2, "one without and one with it: cameras lock an account out after a few"
    assert trouble(source(camera.url("/stream"))).trouble is CameraTrouble.UNAUTHORIZED
    camera.unplug()


def test_every_answer_that_is_no_picture_has_its_own_code(camera: WebCamera) -> None:
    """A page, nothing there, another place: the password would be sent there too, so nobody goes."""
    assert trouble(source(camera.url("/page"))).trouble is CameraTrouble.UNSUPPORTED
    assert trouble(source(camera.url("/nothing"))).trouble is CameraTrouble.NOT_FOUND
    assert trouble(source(camera.url("/away"))).trouble is CameraTrouble.NOT_FOUND
    assert camera.attempts == 3


def test_a_picture_above_the_limit_is_not_read_to_its_end(camera: WebCamera) -> None:
    """By its length where it has one, else as soon as so much has come."""
    for path in ("/stream", "/nolength", "/snapshot"):
        assert trouble(source(camera.url(path), max_bytes=1000)).trouble is CameraTrouble.TOO_LARGE


def test_a_stream_that_stops_is_stalled_and_one_that_ends_has_ended(camera: WebCamera) -> None:
    """The first after `stall_ms`, the second at once."""
    silencer = threading.Timer(0.2, camera.silent.set)
    silencer.start()
    assert trouble(source(camera.url("/stream"))).trouble is CameraTrouble.STALLED
    silencer.join()
    camera.silent.clear()
    ender = threading.Timer(0.2, camera.unplug)
    ender.start()
    assert trouble(source(camera.url("/stream"))).trouble is CameraTrouble.ENDED
    ender.join()
    assert trouble(source(camera.url("/stream"))).trouble is CameraTrouble.UNREACHABLE


def test_a_camera_whose_certificate_nobody_knows_gets_no_password(pki: Path) -> None:
    """With the right `ca_file` it is read; a file that is no certificate is an error of the configuration."""
    handler = type("Handler", (BaseHTTPRequestHandler,), {"do_GET": _one_picture, "log_message": lambda *_: None})
    server = HTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "broker.pem", pki / "broker.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        url = f"https://localhost:{server.server_address[1]}/snapshot"
        assert first(source(url, ca_file=pki / "ca.pem"), 1)[0].content == SHOWN[0]
        assert trouble(source(url, ca_file=pki / "evil.pem")).trouble is CameraTrouble.UNTRUSTED
        assert trouble(source(url)).trouble is CameraTrouble.UNTRUSTED
        with pytest.raises(ConfigError, match="not a readable PEM"):
            first(source(url, ca_file=pki / "san"), 1)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _one_picture(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "image/jpeg")
    request.send_header("Content-Length", str(len(SHOWN[0])))
    request.end_headers()
    request.wfile.write(SHOWN[0])


class Dripping(io.BytesIO):
    """A body that comes in small pieces."""

    def __init__(self, body: bytes, piece: int) -> None:
        super().__init__(body)
        self._piece = piece

    def read1(self, size: int | None = -1, /) -> bytes:
        """The next piece."""
        del size
        return self.read(self._piece)


@given(
    st.lists(st.binary(min_size=1, max_size=200).filter(lambda part: b"--mark" not in part), max_size=5),
    st.integers(1, 300),
    st.booleans(),
)
def test_parts_are_found_however_the_network_cuts_them(wanted: list[bytes], piece: int, told: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """With lengths and without, and the end mark ends them."""
    body = b"preamble"
    for part in wanted:
        length = b"Content-Length: %d\r\n" % len(part) if told else b""
        body += b"\r\n--mark\r\n" + length + b"\r\n" + part
    found = list(parts(Dripping(body + b"\r\n--mark--\r\n", piece), b"mark", 10_000))
    assert found == (wanted if told else [part.removesuffix(b"\r\n") or part for part in wanted]) or not told


@given(st.binary(max_size=2000), st.integers(1, 100))
def test_rubbish_ends_or_is_refused_and_nothing_grows(body: bytes, piece: int) -> None:
    """No input raises anything but its refusal, and no part is larger than allowed."""
    try:
        for part in parts(Dripping(body.replace(b"\x00", b"--mark\r\n"), piece), b"mark", 500):
            assert len(part) <= 500
    except SourceFailed as error:
        assert error.trouble is CameraTrouble.TOO_LARGE  # noqa: PT017 - it may end without one


def test_a_multipart_answer_without_a_boundary_is_refused() -> None:
    """Every place would be one."""
    with pytest.raises(SourceFailed, match="without a boundary"):
        next(parts(io.BytesIO(b"x"), b"", 10))

"""What is refused before any route sees it, over real HTTP; the broker is away meanwhile, and everything is unknown."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra `page` is not installed")
pytest.importorskip("uvicorn", reason="the extra `page` is not installed")

from edge.page.app import STATIC
from edge.page.guard import MOST_BYTES, POLICY
from tests.stand.brokers import make_pki
from tests.stand.page import PASSWORD, PageProcess, Visitor
from tests.stand.ports import free_port

CREDENTIALS = {"user": "meier", "password": PASSWORD}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """A page without a broker."""
    process = PageProcess(tmp_path_factory.mktemp("page"), free_port()).start()
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log()


@pytest.fixture
def visitor(page: PageProcess) -> Visitor:
    """Nobody yet."""
    return Visitor(page.port)


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/me", "/api/history", "/nowhere"])
def test_every_answer_carries_the_policy(visitor: Visitor, path: str) -> None:
    """Nothing from elsewhere runs, nothing embeds the page, nothing of the API stays in a cache."""
    _, _, headers = visitor.ask(path)
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers
    assert headers["cache-control"] in {"no-store", "no-cache"}
    assert "unsafe" not in POLICY


def test_the_page_names_no_other_site_and_no_inline_code() -> None:
    """It works air-gapped, and under its own policy."""
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, path.name
        assert re.search(r"""\sstyle=|innerHTML|<script>|\son\w+="|eval\(""", text) is None, path.name


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/login", {"Host": "evil.example"}, 421),
        ("/api/login", {"Origin": "http://evil.example"}, 403),
        ("/api/login", {"Origin": "null"}, 403),
        ("/api/login", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/api/login", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("/api/login?" + "x" * 3000, {}, 414),
        ("/api/command", {}, 401),
        ("/api/logout", {}, 401),
    ],
)
def test_a_request_that_another_site_sent_is_refused(
    visitor: Visitor, path: str, headers: dict[str, str], status: int
) -> None:
    """By its name, origin, kind or missing session, although the password is right."""
    assert visitor.ask(path, CREDENTIALS, headers=headers)[0] == status


@pytest.mark.parametrize(
    "path",
    ["/api/live", "/api/history", "/api/pictures/00", "/api/evidence/a", "/api/evidence/a/b", "/api/evidence/a/b/zip"],
)
def test_nothing_is_told_to_strangers(visitor: Visitor, path: str) -> None:
    """Every route but the page's own files and the sign-in."""
    assert visitor.ask(path)[0] == 401
    visitor.cookie = "edge_page=made-up"
    assert visitor.ask(path)[0] == 401


def test_sizes_are_bounded(visitor: Visitor, page: PageProcess) -> None:
    """With a length, and without one."""
    assert visitor.ask("/api/login", b"x" * (MOST_BYTES + 1))[0] == 413
    assert visitor.ask("/api/login", b"{", headers={"Content-Length": "x"})[0] in {400, 413}
    assert visitor.ask("/api/login", b"[1]")[0] == 400
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/api/login", iter([b" " * 4096] * 8), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "TRACE", "OPTIONS"])
def test_other_methods_are_refused(visitor: Visitor, method: str) -> None:
    """There are two."""
    assert visitor.ask("/api/me", method=method)[0] == 405


def test_a_cookie_is_for_this_site_and_no_script(visitor: Visitor) -> None:
    """And the session ends with signing out, for whoever copied it too."""
    _, _, headers = visitor.ask("/api/login", CREDENTIALS)
    said = headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert visitor.login("meier") == 200
    assert visitor.ask("/api/me")[1]["role"] == "operator"
    csrf, visitor.csrf = visitor.csrf, "made-up"
    assert visitor.ask("/api/logout", {})[0] == 403
    visitor.csrf = csrf
    assert visitor.ask("/api/logout", {})[0] == 200
    assert visitor.ask("/api/me")[1] == {"user": None}


def test_without_the_broker_everything_is_unknown_and_nothing_is_sent(visitor: Visitor) -> None:
    """Since when and why is said; a command fails at once."""
    visitor.login("meier")
    with visitor.live() as stream:
        stream.until(lambda told: told.link)
        assert stream.link["up"] is False
        assert stream.link["why"]
    assert visitor.command(node="n", verb="ack", occurrence_id="1")[0] == 404


@pytest.mark.slow
def test_guessing_becomes_slow_and_is_logged(visitor: Visitor, page: PageProcess) -> None:
    """After five wrong passwords even the right one waits; the log names who and from where, without a password."""
    statuses = [visitor.login("keller", "wrong password") for _ in range(6)]
    assert statuses == [403] * 5 + [429]
    assert visitor.login("keller") == 429
    assert visitor.login("guest") == 200, "others are not kept out"
    assert "sign-in refused: user 'keller' from 127.0.0.1" in page.log()
    assert "wrong password" not in page.log()
    assert PASSWORD not in page.log()


@pytest.mark.slow
def test_a_request_that_does_not_come_is_not_waited_for(page: PageProcess) -> None:
    """Half a head at once, half a head after a whole request, and a body that stops: none of them keeps its place."""
    head = b"Host: 127.0.0.1\r\n"
    post = b"POST /api/login HTTP/1.1\r\n" + head + b"Content-Type: application/json\r\nContent-Length: 90\r\n\r\n{"
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", page.port), timeout=60)) for _ in range(3)]
        slow[0].sendall(b"GET / HTTP/1.1\r\n" + head)
        slow[1].sendall(b"GET /icon.svg HTTP/1.1\r\n" + head + b"\r\nGET / HTTP/1.1\r\n")
        slow[2].sendall(post)
        heard = [b"".join(iter(lambda one=one: one.recv(65_536), b"")) for one in slow]  # type: ignore[misc] # mypy cannot infer a lambda with a default
    assert heard[0] == b""
    assert heard[1].count(b"HTTP/1.1 ") == 1
    assert heard[2].startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
def test_https_marks_its_cookie_and_answers_no_plain_request(tmp_path: Path) -> None:
    """The cookie goes over TLS alone; a key that others can read is refused at the start."""
    make_pki(tmp_path, ["page"])
    server = {"cert_file": str(tmp_path / "page.pem"), "key_file": str(tmp_path / "page.key")}
    process = PageProcess(tmp_path, free_port(), server=server)
    key = tmp_path / "page.key"
    key.chmod(0o644)
    with pytest.raises(RuntimeError, match="chmod 600"):
        process.start()
    key.chmod(0o600)
    process.log_path.write_text("", encoding="utf-8")
    process.start()
    try:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        connection = http.client.HTTPSConnection("localhost", process.port, timeout=20, context=trusted)
        body, headers = json.dumps(CREDENTIALS), {"Content-Type": "application/json"}
        connection.request("POST", "/api/login", body, headers)
        answer = connection.getresponse()
        cookie = answer.headers["Set-Cookie"]
        assert answer.status == 200
        connection.close()
        assert cookie.startswith("__Host-edge_page=")
        assert "secure" in cookie.lower()
        with pytest.raises((http.client.HTTPException, OSError)):
            Visitor(process.port).ask("/")
    finally:
        assert process.stop() == 0

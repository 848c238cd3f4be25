"""Real cameras for tests: an RTSP server of GStreamer's in a process of its own, and an HTTP server that streams MJPEG and gives snapshots."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import simplejpeg

from tests.stand.ports import free_port

USER, SECRET = "operator", "p@ss/wörd:1"
SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's GObject introspection lives
PACKAGES = "gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"

_SERVER = """
import sys, threading, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import Gst, GstRtsp, GstRtspServer, GLib
Gst.init(None)
for name in ("x264enc", "rtph264pay", "videotestsrc"):
    if Gst.ElementFactory.find(name) is None:
        sys.exit(f"no {name}")
if len(sys.argv) == 1:
    sys.exit(0)
port, launch, user, password = sys.argv[1:]
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1"); server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(launch); factory.set_shared(True)
if user:
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    factory.add_role_from_structure(Gst.Structure.new_from_string("viewer, media.factory.access=true, media.factory.construct=true"))
server.get_mount_points().add_factory("/live", factory)
newest = []
def listen():
    for line in sys.stdin:
        element, key, value = line.strip().split(" ", 2)
        Gst.util_set_object_arg(newest[-1].get_element().get_by_name(element), key, value)
threading.Thread(target=listen, daemon=True).start()
factory.connect("media-configure", lambda _factory, media: newest.append(media))
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""
_RAW = "video/x-raw,width={width},height={height},framerate={fps}/1"
# With x264's usual 2 Mbit/s a change of the whole scene stays smeared until the next key picture: a camera of this size sends more.
_ENCODER = "x264enc tune=zerolatency speed-preset=ultrafast bitrate=8000 key-int-max={fps}"
_H264 = _ENCODER + " ! rtph264pay name=pay0 pt=96 config-interval=-1"


@functools.cache
def rtsp_obstacle() -> str | None:
    """Why no RTSP server can be started here; None: it can."""
    if not Path(SYSTEM_PYTHON).exists():
        return f"there is no {SYSTEM_PYTHON}: the RTSP server is Debian's ({PACKAGES})"
    asked = subprocess.run([SYSTEM_PYTHON, "-c", _SERVER], check=False, capture_output=True, timeout=60)
    return None if asked.returncode == 0 else f"no RTSP server: `apt-get install {PACKAGES}`"


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> Iterator[None]:
    """A process that does nothing meanwhile, and goes on afterwards."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class RtspCamera:
    """A camera that can be unplugged, frozen in time, and told to send another size.

    Args:
        size: width and height, px.
        fps: pictures a second; a key picture comes once a second.
        guarded: it wants `USER` and `SECRET`.
        pattern: of GStreamer's test source.
    """

    def __init__(
        self, size: tuple[int, int] = (320, 240), fps: int = 25, *, guarded: bool = False, pattern: str = "ball"
    ) -> None:
        self.port = free_port()
        self._fps = fps
        raw = _RAW.format(width=size[0], height=size[1], fps=fps)
        encoder = _H264.format(fps=fps)
        self._launch = f'( videotestsrc name=scene is-live=true pattern={pattern} ! videoscale ! capsfilter name=size caps="{raw}" ! {encoder} )'
        self._who = (USER, SECRET) if guarded else ("", "")
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Its address, without user and password."""
        return f"rtsp://127.0.0.1:{self.port}/live"

    def plug_in(self) -> RtspCamera:
        """Start it and wait until it listens."""
        command = [SYSTEM_PYTHON, "-c", _SERVER, str(self.port), self._launch, *self._who]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def unplug(self) -> None:
        """Kill it: its connections end, and nobody listens any more."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def resize(self, width: int, height: int) -> None:
        """Send another size from now on, in the same stream."""
        self._tell("size", "caps", _RAW.format(width=width, height=height, fps=self._fps))

    def show(self, pattern: str) -> None:
        """Show something else from now on."""
        self._tell("scene", "pattern", pattern)

    def _tell(self, element: str, key: str, value: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{element} {key} {value}\n")
        self._process.stdin.flush()

    def stalled(self) -> AbstractContextManager[None]:
        """Stop it: connections stay, and nothing comes."""
        assert self._process is not None
        return stopped(self._process)


class WebCamera:
    """An HTTP camera: `/stream` is MJPEG, `/snapshot` one picture, `/nolength` MJPEG without lengths, `/page` no picture.

    Args:
        pictures: what it shows, one after the other and again.
        fps: of its streams.
        scheme: ``basic`` or ``digest`` to ask for `USER` and `SECRET`; empty: nobody is asked.
    """

    BOUNDARY = "--frame"  # with dashes of its own, as some cameras have

    def __init__(self, pictures: Sequence[bytes], fps: float = 50.0, scheme: str = "") -> None:
        self._pictures = pictures
        self._pause_s = 1.0 / fps
        self._scheme = scheme
        self._number = 0
        self.silent = threading.Event()  # while set, nothing is sent
        self.attempts = 0
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera._serve(self)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self._ended = False

    def url(self, path: str) -> str:
        """The address of one of its pages."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def unplug(self) -> None:
        """End it."""
        self._ended = True
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        self.attempts += 1
        path = request.path.partition("?")[0]
        if self._scheme and not self._admitted(request):
            request.send_response(401)
            request.send_header("WWW-Authenticate", self._challenge())
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        with contextlib.suppress(OSError):  # who looked has gone
            if path in {"/stream", "/nolength"}:
                self._stream(request, lengths=path == "/stream")
            elif path == "/snapshot":
                self._one(request, "image/jpeg", self._next())
            elif path == "/page":
                self._one(request, "text/html", b"<html>no picture</html>")
            elif path == "/away":
                request.send_response(302)
                request.send_header("Location", "http://127.0.0.1:1/elsewhere")
                request.end_headers()
            else:
                request.send_error(404)

    def _stream(self, request: BaseHTTPRequestHandler, *, lengths: bool) -> None:
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={self.BOUNDARY}")
        request.end_headers()
        while not self._ended:
            picture = self._next()
            length = f"Content-Length: {len(picture)}\r\n" if lengths else ""
            head = f"--{self.BOUNDARY.lstrip('-')}\r\nContent-Type: image/jpeg\r\n{length}\r\n"
            request.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(self._pause_s)
            while self.silent.is_set() and not self._ended:
                time.sleep(0.01)

    @staticmethod
    def _one(request: BaseHTTPRequestHandler, kind: str, body: bytes) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _next(self) -> bytes:
        picture = self._pictures[self._number % len(self._pictures)]
        self._number += 1
        return picture

    def _challenge(self) -> str:
        return 'Basic realm="cam"' if self._scheme == "basic" else 'Digest realm="cam", nonce="n1", qop="auth"'

    def _admitted(self, request: BaseHTTPRequestHandler) -> bool:
        said = request.headers.get("Authorization", "")
        if self._scheme == "basic":
            return said == "Basic " + base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', said))
        secret = _md5(f"{USER}:cam:{SECRET}")
        asked = _md5(f"GET:{fields.get('uri', '')}")
        parts = (secret, fields.get("nonce"), fields.get("nc"), fields.get("cnonce"), fields.get("qop"), asked)
        return fields.get("response") == _md5(":".join(map(str, parts)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def pictures(count: int, size: tuple[int, int] = (64, 48)) -> list[bytes]:
    """JPEGs that differ from each other."""
    noise = np.random.default_rng(7).integers(0, 255, (count, size[1], size[0], 3), dtype=np.uint8)
    return [bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture), 90)) for picture in noise]

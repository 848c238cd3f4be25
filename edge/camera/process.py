"""The process of one camera: the source, the connection to the broker, and the loop between them, until it is asked to stop."""

from __future__ import annotations

import logging
import threading
import time

from edge.broker.connection import Connection
from edge.broker.credentials import client_id
from edge.camera.bridge import Bridge, status_message, will
from edge.camera.newest import Newest
from edge.camera.reader import Reader
from edge.camera.report import Report
from edge.camera.sources import source_of
from edge.errors import ConfigError, EdgeError
from edge.site.inputs import CameraSettings
from edge.site.settings import Site
from edge.site.source import SourceSettings
from edge.system.systemd import notify, watchdog_interval_s
from edge.units import NS_PER_MS, NS_PER_S
from edge.wire.camera import CameraTrouble

_log = logging.getLogger(__name__)


def camera_of(site: Site, name: str) -> tuple[CameraSettings, SourceSettings]:
    """One camera of a site, with its source.

    Raises:
        ConfigError: there is no such camera, or it has no source.
    """
    camera = next((camera for camera in site.cameras if camera.id == name), None)
    if camera is None:
        known = ", ".join(camera.id for camera in site.cameras) or "none"
        raise ConfigError(f"there is no camera {name} in the site file; there is: {known}")
    if camera.source is None:
        raise ConfigError(f"camera {name} has no source: `edge-camera probe URL` prints the table for it")
    return camera, camera.source


class CameraProcess:
    """Brings one camera's pictures to the broker.

    Args:
        site: whose broker, topics and camera.
        name: which camera.

    Raises:
        ConfigError: the camera, its source or the credentials of the broker cannot be used.
    """

    def __init__(self, site: Site, name: str) -> None:
        camera, source = camera_of(site, name)
        self._status_topic = site.camera_topic(camera)
        self._newest = Newest()
        self._report = Report(time.time_ns())
        self._reader = Reader(
            source_of(source, camera.max_bytes, camera.max_pixels),
            self._newest,
            self._report,
            fingerprint=lambda: _written_ns(source),
        )
        self._connection = Connection(
            site.broker,
            client_id=client_id(f"{site.node.id}-camera-{name}", site.broker),
            on_up=self._up,
            will=will(self._status_topic),
        )
        self._bridge = Bridge(
            (site.frame_topic(camera), self._status_topic),
            self._newest,
            self._report,
            self._connection,
            quality=source.quality,
            max_bytes=camera.max_bytes,
            interval_ns=0 if source.fps is None else round(NS_PER_S / source.fps),
            stall_ns=round(max(source.stall_ms, 2 * source.poll_ms) * NS_PER_MS),
            monotonic_ns=time.monotonic_ns,
            wall_ns=time.time_ns,
        )
        self._stopping = threading.Event()

    def request_stop(self) -> None:
        """End soon; may be called from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Read and publish until asked to stop.

        Raises:
            EdgeError: a thread of this process ended.
        """
        self._connection.start()
        self._reader.start()
        notify("READY=1")
        interval_s, fed_s = watchdog_interval_s(), 0.0
        try:
            while not self._stopping.is_set():
                self._bridge.turn()
                if not self._reader.alive() or self._connection.ended():
                    raise EdgeError("a thread of edge-camera ended: see its log; it has to be started again")
                if interval_s is not None and time.monotonic() - fed_s >= interval_s:
                    fed_s = time.monotonic()
                    notify("WATCHDOG=1")
        finally:
            self._stop()

    def _up(self) -> None:
        _log.info("connected to the broker")
        self._bridge.republish_status()

    def _stop(self) -> None:
        notify("STOPPING=1")
        self._reader.stop()
        self._report.failed(CameraTrouble.STOPPED, "", time.time_ns())
        self._connection.stop([status_message(self._status_topic, self._report.now())])
        _log.info(
            "stopped: %d pictures published, %d replaced by newer ones, source opened %d times",
            self._bridge.published,
            self._newest.replaced,
            self._reader.opened,
        )


def _written_ns(source: SourceSettings) -> int | None:
    """When the password was written last; None: there is none."""
    try:
        return None if source.password_file is None else source.password_file.stat().st_mtime_ns
    except OSError:
        return None

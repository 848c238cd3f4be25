"""A GigE Vision camera for tests: Aravis' software camera on loopback, in a process of its own."""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from edge.camera.gige import SYSTEM_PYTHON, refuse_without_aravis
from edge.errors import ConfigError
from tests.stand.brokers import wait_for
from tests.stand.cameras import stopped

PROGRAM = "arv-fake-gv-camera-0.8"
HOST, PORT = "127.0.0.1", 3956  # of GVCP: fixed, so that one such camera runs at a time
URL = f"gige://{HOST}"
_DISCOVERY = bytes.fromhex("4211000200000001")


@functools.cache
def obstacle() -> str | None:
    """Why there is no such camera here; None: there is."""
    if shutil.which(PROGRAM) is None:
        return f"no {PROGRAM}: `apt-get install aravis-tools gir1.2-aravis-0.8 python3-gi`"
    if not Path(SYSTEM_PYTHON).exists():
        return f"there is no {SYSTEM_PYTHON}, which has Debian's bindings of Aravis"
    try:
        refuse_without_aravis()
    except ConfigError as error:
        return str(error)
    return "another program is a GigE Vision camera on loopback" if _answers() else None


def _answers() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(0.2)
        try:
            asked.sendto(_DISCOVERY, (HOST, PORT))
            return bool(asked.recv(1024))
        except OSError:
            return False


class GigeCamera:
    """A camera of 512 x 512 px and 25 pictures a second that can be unplugged and stalled."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def plug_in(self) -> GigeCamera:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen([PROGRAM, "-i", HOST], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(_answers, 20, "the camera answers")
        return self

    def unplug(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stalled(self) -> AbstractContextManager[None]:
        """Stop it: nothing comes, and nothing is answered."""
        assert self._process is not None
        return stopped(self._process)

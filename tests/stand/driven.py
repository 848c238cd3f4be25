"""The real daemon with pictures from inside its own process: `python -m tests.stand.driven site.toml --hz 5 --ledger FILE`.

For tests that kill the broker: the pictures must not stop with it. Everything behind the camera's wire is the real thing. SIGUSR1 stops the
pictures, SIGTERM the daemon; four times a second the ledger gets a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from edge.daemon import Daemon
from edge.health.status import rss_mib
from edge.inference.preprocess import encode_jpeg
from edge.plan import site_bundle
from edge.site.settings import load_site
from edge.wire.envelope import Incoming


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--hz", type=float, default=5.0, help="pictures a second; each one flips every fault")
    parser.add_argument("--ledger", type=Path, required=True)
    options = parser.parse_args()
    site = load_site(options.config)
    daemon = Daemon(site, site_bundle(site))
    quiet = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: daemon.request_stop())
    signal.signal(signal.SIGUSR1, lambda *_: quiet.set())
    pictures = [encode_jpeg(np.full((64, 64, 3), (red, 0, 0), np.uint8)) for red in (255, 0)]
    topic = site.frame_topic(site.cameras[0])

    def show() -> None:
        began, number = time.monotonic(), 0
        while not quiet.is_set():
            time.sleep(max(0.0, began + number / options.hz - time.monotonic()))
            picture = pictures[number % 2]
            daemon.inlet.arrived(Incoming(topic, picture, False, time.monotonic_ns(), time.time_ns()))  # noqa: FBT003 - here the camera's wire ends
            number += 1

    def note() -> None:
        with options.ledger.open("a", encoding="utf-8") as ledger:
            while True:
                camera = next(iter(daemon.health.cameras(time.monotonic_ns()).values()))
                line = {
                    "pid": os.getpid(),
                    "t": time.monotonic(),
                    "verdicts": camera.verdicts,
                    "misses": camera.misses,
                    "dropped": camera.dropped,
                    "p99_ms": camera.latency.p99_ms,
                    "rss_mib": rss_mib(),
                    "connected": daemon._outlet.connected,
                }
                ledger.write(json.dumps(line) + "\n")
                ledger.flush()
                time.sleep(0.25)

    try:
        daemon.start()
        for loop in (show, note):
            threading.Thread(target=loop, daemon=True).start()
        daemon.wait()
        quiet.set()
    finally:
        daemon.stop()


if __name__ == "__main__":
    main()

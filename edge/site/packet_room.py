"""Finds cameras whose pictures do not fit the MQTT packet that the site allows; pure.

A broker that knows the largest packet drops what is larger without notice, so all that shows is a silent camera.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.site.settings import Site

BESIDE_BYTES = 5_000  # of a packet: the longest topic (512), the properties that are read (4,096), numbers and lengths


def packet_doubts(site: Site) -> Iterator[str]:
    """Each camera whose largest picture does not fit, in a sentence that says what to set."""
    limit_bytes = site.broker.max_packet_bytes
    for camera in site.cameras:
        if camera.max_bytes > limit_bytes - BESIDE_BYTES:
            yield (
                f"camera {camera.id}: max_bytes = {camera.max_bytes} and broker.max_packet_bytes = {limit_bytes}: a picture of more than "
                f"{max(0, limit_bytes - BESIDE_BYTES)} bytes (in base64 of {max(0, limit_bytes - BESIDE_BYTES) * 3 // 4}) never arrives, and an MQTT 5 broker "
                f"does not report it; set max_packet_bytes to {camera.max_bytes + BESIDE_BYTES} or more, or lower max_bytes"
            )

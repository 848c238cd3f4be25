"""`check` says which camera's pictures do not fit the largest packet."""

from __future__ import annotations

from edge.site.packet_room import BESIDE_BYTES, packet_doubts
from edge.site.settings import Site


def doubts(max_bytes: int | None, max_packet_bytes: int | None) -> list[str]:
    """What is said of a site with one camera; None: the default."""
    camera = {"id": "cam"} | ({} if max_bytes is None else {"max_bytes": max_bytes})
    broker = {} if max_packet_bytes is None else {"max_packet_bytes": max_packet_bytes}
    site = {"bundle": "b", "node": {"id": "n"}, "broker": broker, "cameras": [camera]}
    return list(packet_doubts(Site.model_validate(site)))


def test_the_defaults_fit_each_other() -> None:
    """The largest picture of a camera, its topic and its properties are one packet."""
    assert doubts(None, None) == []


def test_a_picture_that_cannot_arrive_is_said_with_both_settings() -> None:
    """One byte decides; the advice is enough."""
    assert doubts(100_000, 100_000 + BESIDE_BYTES) == []
    (doubt,) = doubts(100_000, 99_999 + BESIDE_BYTES)
    assert "camera cam" in doubt
    assert "never arrives" in doubt
    assert f"max_packet_bytes to {100_000 + BESIDE_BYTES}" in doubt

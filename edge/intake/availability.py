"""Reads availability topics: a gateway's, online or offline, and that of `edge-camera`, with the reason; also from their last wills."""

from __future__ import annotations

from edge.errors import RejectedInput
from edge.intake.readers import json_of, shown, text_of
from edge.parsing.structure import Bounds
from edge.wire.camera import CameraTrouble

_SMALL = Bounds(size_bytes=4096, values=64)
_KEYS = ("online", "state", "status", "availability", "available", "connected", "value", "payload")
_ONLINE = frozenset(("online", "connected", "alive", "up", "available", "running", "ready", "on", "true", "1", "birth"))
_OFFLINE = frozenset((
    "offline", "disconnected", "dead", "down", "unavailable", "stopped", "lost", "off", "false", "0", "death", "not_connected",
))  # fmt: skip


def online(payload: bytes) -> bool:
    """Whether the gateway is there: a word, a number or a switch, also inside JSON (``{"state": "online"}``).

    Raises:
        RejectedInput: ``bad_availability``, ``oversize_bytes``, ``not_text`` or ``not_json``.
    """
    if len(payload) > _SMALL.size_bytes:
        raise RejectedInput("oversize_bytes", f"{len(payload)} bytes, more than {_SMALL.size_bytes}")
    text = text_of(payload).strip()
    value: object = json_of(text, _SMALL) if text[:1] == "{" else text.strip('"')
    if isinstance(value, dict):
        value = next((value[key] for key in _KEYS if key in value), None)
    word = str(value).strip().lower()
    if word in _ONLINE:
        return True
    if word in _OFFLINE:
        return False
    raise RejectedInput("bad_availability", f"{shown(value)} is neither online nor offline")


def trouble(payload: bytes) -> CameraTrouble | None:
    """Why `edge-camera` has no pictures; None: pictures come. A code that this version does not know is `gone`.

    Raises:
        RejectedInput: ``bad_availability``, ``oversize_bytes``, ``not_text`` or ``not_json``.
    """
    if online(payload):
        return None
    value = json_of(text_of(payload), _SMALL) if payload.lstrip()[:1] == b"{" else None
    code = value.get("reason") if isinstance(value, dict) else None
    return CameraTrouble(code) if code in tuple(CameraTrouble) else CameraTrouble.GONE

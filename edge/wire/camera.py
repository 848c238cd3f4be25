"""What `edge-camera` says of its camera: whether pictures come, and if not, why; one code for each cause, with its words for people."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from edge.wire.message import Message, Timestamp

MAX_DETAIL = 200  # characters of the part that changes from case to case


class CameraTrouble(StrEnum):
    """Why a camera gives no pictures; stable words, for programs."""

    CONNECTING = "connecting"
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    UNSUPPORTED = "unsupported"
    STALLED = "stalled"
    ENDED = "ended"
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    UNTRUSTED = "untrusted"
    BUSY = "busy"
    INTERNAL = "internal"
    STOPPED = "stopped"
    GONE = "gone"


#: What each means and what to do about it, as it follows the alarm's message.
TROUBLE_TEXTS: dict[CameraTrouble, str] = {
    CameraTrouble.CONNECTING: "edge-camera has just started and has no picture yet",
    CameraTrouble.UNREACHABLE: "no host answers at its address: check its power, its cable and the address",
    CameraTrouble.UNAUTHORIZED: "it rejects the user name or the password: correct them, edge-camera tries again when the file changes",
    CameraTrouble.FORBIDDEN: "it does not permit this: check the rights of its user, or of edge-camera on the file or device",
    CameraTrouble.NOT_FOUND: "there is no such stream, file or device: check the path in the address",
    CameraTrouble.UNSUPPORTED: "what comes is no video or picture that can be read: choose H.264, H.265, MJPEG or JPEG",
    CameraTrouble.STALLED: "it is connected and sends no more pictures: restart it if this does not end by itself",
    CameraTrouble.ENDED: "it ended the stream",
    CameraTrouble.DAMAGED: "nothing but damaged pictures arrive: check the network between it and this device",
    CameraTrouble.TOO_LARGE: "its pictures are larger than max_bytes or max_pixels: choose a smaller picture",
    CameraTrouble.UNTRUSTED: "its certificate is not signed by ca_file: check that this is the camera, then the file",
    CameraTrouble.BUSY: "something else uses it, or it has no place for another viewer: close the other one",
    CameraTrouble.INTERNAL: "edge-camera met a fault of its own: report the traceback in its log",
    CameraTrouble.STOPPED: "edge-camera was stopped",
    CameraTrouble.GONE: "edge-camera is gone: see its service",
}


class CameraStatus(Message):
    """``in/camera/{id}``, retained: whether the camera gives pictures; its last will is on the same topic."""

    schema_: Literal["edge.camera/1"] = Field(default="edge.camera/1", alias="schema")
    state: Literal["online", "offline"] = Field(description="online: pictures come")
    ts: Timestamp | None = Field(description="since when; null in the last will, which the broker sends later")
    reason: CameraTrouble | None = Field(default=None, description="why it is offline")
    detail: Annotated[str, Field(max_length=MAX_DETAIL)] = Field(default="", description="what was seen, for people")
    coding: str | None = Field(default=None, description="what the camera sends: jpeg, png, h264, hevc ...")
    transcoded: bool | None = Field(
        default=None, description="frames are encoded again here; false: passed on as they came"
    )
    width: int | None = Field(default=None, ge=0, description="of the newest picture, px; null where it is not decoded")
    height: int | None = Field(default=None, ge=0, description="px")

"""The base of every message: frozen, strict, compact on the wire, its times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edge.units import NS_PER_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


Timestamp = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="UTC, RFC 3339 with milliseconds")
]


Milliseconds = Annotated[float, Field(ge=0.0)]


Counter = Annotated[int, Field(ge=0)]


def timestamp(wall_ns: int) -> str:
    """RFC 3339 UTC with milliseconds, from nanoseconds since the epoch."""
    moment = _EPOCH + timedelta(milliseconds=wall_ns // NS_PER_MS)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Message(BaseModel):
    """Base of all messages: frozen, no unknown fields, no NaN, compact on the wire."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )

    def encode(self) -> bytes:
        """The JSON bytes that go on the wire."""
        return self.model_dump_json().encode()

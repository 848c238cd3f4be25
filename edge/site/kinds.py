"""The value types of ``site.toml``: names, topics, pointers, durations."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from edge.units import RATE

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def _deliverable(topic: str) -> str:
    """A topic that publishers can use; what can never deliver is refused.

    Raises:
        ValueError: it is a filter, or holds what no publisher writes.
    """
    if "+" in topic or "#" in topic:
        raise ValueError(f"{topic!a} is a filter, and + and # stand for many topics: name each topic by itself")
    if topic.startswith(("$share/", "$queue/")):
        raise ValueError(f"{topic!a} is a shared subscription, of which each client gets a part: name the topic itself")
    if topic != topic.strip():
        raise ValueError(f"{topic!a} begins or ends with a space or a line break: take it away")
    hidden = next((letter for letter in topic if unicodedata.category(letter) in _HIDDEN), None)
    if hidden is not None:
        raise ValueError(f"{topic!a} holds the invisible character {hidden!a}: take it away")
    if not unicodedata.is_normalized("NFC", topic):
        raise ValueError(
            f"{topic!a} has letters and their accents as two characters (NFD), which matches no publisher that writes one (NFC): type it again"
        )
    return topic


_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))  # control, format, surrogates, separators of lines and paragraphs
Topic = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_deliverable)]
Pointer = Annotated[str, Field(pattern=r"^(/.*)?$")]
SparkplugId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^+/#\x00]+$")]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Long = Annotated[float, Field(ge=0.0, le=1e9, allow_inf_nan=False)]  # s; past it (32 years) dates overflow


Rate = Annotated[str, Field(pattern=RATE)]

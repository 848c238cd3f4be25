"""Reads a number in a text, alone or with its unit; what could mean two numbers is refused."""

from __future__ import annotations

import re
import unicodedata

from edge.errors import RejectedInput
from edge.intake.readers import shown

_LONGEST = 64
_NUMBER_AND_UNIT = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s?((?:[^\W\d_][23]?|[%°℃℉/·‰^*])*)"
)
_BEGINS = re.compile(r"\s*[+-]?\.?[0-9]")
#: Units that no device scales: others come as kW today and as W tomorrow, so their site has to name the one it means.
UNSCALED = frozenset(("%", "%RH", "%rH", "°", "°C", "°F"))

_TRUTHS = {"true": 1.0, "false": 0.0}
_SWITCHES = _TRUTHS | {"on": 1.0, "off": 0.0}


def is_switch(text: str) -> bool:
    """Whether a text that is no JSON is a switch's word."""
    return len(text) <= _LONGEST and text.strip().lower() in _SWITCHES


def begins_like_number(text: str) -> bool:
    """Whether a text that is no JSON is meant as a number."""
    return _BEGINS.match(text) is not None


def quantity_of(text: str, unit: str, *, switch: bool = False) -> float:
    """The number in a text such as ``81.5`` or ``81.5 °C``; ``true`` is 1.

    Args:
        text: what came.
        unit: in which the site counts; empty: it names none.
        switch: ``ON`` and ``OFF`` are 1 and 0; of a thermometer that is off nothing is known.

    Raises:
        RejectedInput: ``not_a_number``, or ``wrong_unit``.
    """
    if is_switch(text):
        word = text.strip().lower()
        if switch or word in _TRUTHS:
            return _SWITCHES[word]
        raise RejectedInput("not_a_number", f'{shown(text)} is a switch: set format = "switch" if the sensor is one')
    found = _NUMBER_AND_UNIT.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if found is None:
        doubt = ": a comma may part thousands or decimals" if "," in text and begins_like_number(text) else ""
        raise RejectedInput("not_a_number", f"{shown(text)} is not a number{doubt}")
    given, wanted = unicodedata.normalize("NFKC", found[2]), unicodedata.normalize("NFKC", unit.strip())
    if given and given != wanted and (wanted or given not in UNSCALED):
        advice = f"in place of {shown(wanted)}" if wanted else "and the site names none: set `unit`"
        raise RejectedInput("wrong_unit", f"the value is in {shown(given)}, {advice}")
    return float(found[1])

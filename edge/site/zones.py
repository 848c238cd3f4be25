"""Vibration zones as declared tables: where zones B, C and D begin for each class of machine, as RMS velocity in mm/s.

The figures are the widely published ones of the named standards (10 to 1000 Hz, measured on the housing). They are a starting point: the standard
itself, and the maker of the machine, say which class a machine is in and when other limits hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

UNIT = "mm/s"
ZONES = ("B", "C", "D")  # A begins at zero: B is fit for long running, C for a while, D does damage


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """The limits of one class of machines, mm/s RMS, and the standard that they stand in."""

    source: str
    machines: str
    begins: tuple[float, float, float]


TABLES: Mapping[str, ZoneTable] = {
    "small": ZoneTable("ISO 20816-1, formerly ISO 10816-1 class I", "up to 15 kW", (0.71, 1.8, 4.5)),
    "medium": ZoneTable("ISO 20816-1, formerly ISO 10816-1 class II", "15 to 75 kW", (1.12, 2.8, 7.1)),
    "large-rigid": ZoneTable(
        "ISO 20816-1, formerly ISO 10816-1 class III", "large, on a rigid foundation", (1.8, 4.5, 11.2)
    ),
    "large-flexible": ZoneTable(
        "ISO 20816-1, formerly ISO 10816-1 class IV", "large, on a flexible foundation", (2.8, 7.1, 18.0)
    ),
    "group-1-rigid": ZoneTable("ISO 20816-3 group 1", "300 kW to 50 MW, rigid support", (2.3, 4.5, 7.1)),
    "group-1-flexible": ZoneTable("ISO 20816-3 group 1", "300 kW to 50 MW, flexible support", (3.5, 7.1, 11.0)),
    "group-2-rigid": ZoneTable("ISO 20816-3 group 2", "15 to 300 kW, rigid support", (1.4, 2.8, 4.5)),
    "group-2-flexible": ZoneTable("ISO 20816-3 group 2", "15 to 300 kW, flexible support", (2.3, 4.5, 7.1)),
}


def zone_limit(name: str) -> float:
    """Where a zone begins, mm/s RMS, from its name: the class and the zone, e.g. ``group-2-rigid/C``.

    Raises:
        ValueError: there is no such class or zone; the text lists them.
    """
    table, _, zone = name.partition("/")
    if table not in TABLES or zone not in ZONES:
        raise ValueError(
            f"there is no vibration zone {name[:80]!r}: write class and zone, e.g. group-2-rigid/C; classes are {', '.join(TABLES)}, zones {', '.join(ZONES)}"
        )
    return TABLES[table].begins[ZONES.index(zone)]

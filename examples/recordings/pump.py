"""Writes readings of a pump that does not exist, a CSV file a day: two speeds, a flow and a pressure that follow, and a leak on the last day."""

from __future__ import annotations

import csv
import random
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

FIRST = datetime(2027, 1, 4, 6, tzinfo=UTC)
ROWS = 540  # a day: an hour and a half
PERIOD_S = 10
SPEEDS = (1500.0, 3000.0)  # 1/min
SPELL = 180  # rows at one speed
LEAK = 90  # rows at the end of the last day
HEAD = ("time", "speed [1/min]", "flow [l/min]", "pressure [bar]", "leak")


def write(folder: Path, days: int = 4, seed: int = 0) -> list[Path]:
    """One file a day; the flow differs a little from day to day, and the pressure with it."""
    noise = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for day in range(days):
        level = noise.gauss(0.0, 0.3)
        file = folder / f"day{day + 1}.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(HEAD)
            for row in range(ROWS):
                at = FIRST + timedelta(days=day, seconds=row * PERIOD_S)
                leak = day == days - 1 and row >= ROWS - LEAK
                speed = SPEEDS[row // SPELL % 2]
                flow = speed / 100 + level - (3.0 if leak else 0.0) + noise.gauss(0.0, 0.2)
                pressure = speed / 500 + level / 3 + noise.gauss(0.0, 0.05)
                table.writerow(
                    (
                        at.isoformat(),
                        round(speed + noise.gauss(0.0, 5.0), 1),
                        round(flow, 2),
                        round(pressure, 3),
                        int(leak),
                    )
                )
        files.append(file)
    return files


def main() -> None:
    """``python -m examples.recordings.pump FOLDER``."""
    for file in write(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pump")):
        print(file)


if __name__ == "__main__":
    main()

"""Every benchmark in turn: ``python -m benchmarks``; the soak is a command of its own, ``python -m benchmarks.soak``."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "data_path",
    "frame_path",
    "fault_count",
    "jitter",
    "mqtt_hops",
    "flood",
    "footprint",
    "explain",
    "where",
    "heatmap",
)


def main() -> int:
    """Run each as a process of its own, so that none inherits another's threads and memory; 1 if one failed."""
    failed = [
        name for name in ALL if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    print("failed: " + ", ".join(failed) if failed else "all ran; see benchmarks/results")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

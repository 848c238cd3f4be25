"""One pass at real sizes, with random weights of the true shapes, and exactness on tiny checkpoints.

    python -m benchmarks.onepass families
    python -m benchmarks.onepass sizes smolvlm-256m smolvlm-500m qwen35-0.8b gemma3-4b --folder FOLDER
    python -m benchmarks.onepass graphs --folder FOLDER       (once; those below use what it leaves there)
    python -m benchmarks.onepass questions --folder FOLDER
    python -m benchmarks.onepass peers --folder FOLDER
    python -m benchmarks.onepass resolution --folder FOLDER
    python -m benchmarks.onepass schemes --folder FOLDER

Results go to benchmarks/results/onepass_NAME.md and .json. Ratios are taken inside one interleaved run.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks import report

COMMANDS = ("families", "sizes", "graphs", "questions", "peers", "resolution", "schemes")


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("sizes", nargs="*", help="for `sizes`: which; none: only plan")
    parser.add_argument("--scheme", choices=["float32", "dynamic-int8"], default="dynamic-int8")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--llama", type=Path, help="Python of an environment with llama-cpp-python and gguf")
    parser.add_argument("--folder", type=Path, help="where checkpoints and graphs are put; default: the system's")
    arguments = parser.parse_args()
    importlib.import_module(f"benchmarks.onepass.{arguments.command}").main(arguments)


if __name__ == "__main__":
    report.run(main)

"""Pushes what was written to the disk; without it a rename may outlive the file that it names."""

from __future__ import annotations

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Push a file, or the names in a folder, to the disk.

    Raises:
        OSError: the disk refuses.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

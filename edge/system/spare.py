"""What must stay free of a disk, so that the journal does not find it full of pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

FREE_BYTES = 256_000_000


def has_room(folder: Path, coming_bytes: int) -> bool:
    """Whether the disk keeps a reserve after so many more bytes."""
    return shutil.disk_usage(folder).free - coming_bytes >= FREE_BYTES

"""Opens Matplotlib so that it writes nothing to the home folder or the system's font cache.

The only module of the toolchain that knows matplotlib.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Our plots use the font that matplotlib brings, so the system's fonts need not be searched: no folder of fonts, and a cache of our own.
_FONTS = "<fontconfig><cachedir>{folder}</cachedir></fontconfig>"


@functools.cache
def open_matplotlib() -> Any:  # noqa: ANN401 - matplotlib has no types here
    """The module ``matplotlib``, drawing into memory; its figures are in ``matplotlib.figure`` and ``matplotlib.pyplot``.

    It looks for its settings and its list of fonts while it is being imported, and never again: the folder that it is shown is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="drawing-") as folder:
        fonts = Path(folder) / "fonts.conf"
        fonts.write_text(_FONTS.format(folder=folder), encoding="utf-8")
        with _environment({"MPLCONFIGDIR": folder, "FONTCONFIG_FILE": str(fonts)}):
            import matplotlib.figure  # noqa: PLC0415 - heavy, and only reports draw
            import matplotlib.font_manager  # noqa: PLC0415 - likewise; searches for fonts while it is being imported

            matplotlib.use("Agg")
    return matplotlib


def new_figure(**options: Any) -> Any:  # noqa: ANN401 - likewise
    """An empty ``matplotlib.figure.Figure`` with these options."""
    return open_matplotlib().figure.Figure(**options)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

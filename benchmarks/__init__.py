"""Measurements by which the promises are held; nothing that they load may fetch or report, see `exporters`."""

import exporters  # noqa: F401 - says it

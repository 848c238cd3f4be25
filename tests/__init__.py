"""The tests, which import third parties before our own packages; nothing of that may fetch or report, see `exporters`."""

import exporters  # noqa: F401 - says it

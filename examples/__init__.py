"""The simulated line, its demo and the training of its checkpoints; nothing that they load may fetch or report, see `exporters`."""

import exporters  # noqa: F401 - sets the same switches

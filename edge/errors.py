"""Every error that we raise, as one tree.

EdgeError
|- ConfigError              the site, recipe or board file is wrong: fix the file
|- BundleError              a bundle may not go live
|  |- FormatError           the manifest is not one that this version reads
|  |- HashMismatch          a file is missing, added or changed
|  |- WrongBoard            the bundle was made for other hardware
|  `- ProofFailed           golden inputs or warm-up timing disagree with the proof
|- RejectedInput            one message from outside is refused; counted by `reason`, never fatal
|- InferenceFailed          one run of the graph gave no usable scores; that frame's verdicts are unknown
|- BrokerError              the MQTT connection cannot be set up as configured
`- ExportError              a stage of the toolchain cannot do what the recipe asks
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of all errors of this project; its text tells the user what to do next."""


class ConfigError(EdgeError):
    """The site, recipe or board file is wrong."""


class BundleError(EdgeError):
    """A bundle may not go live."""


class FormatError(BundleError):
    """The manifest is not one that this version reads."""


class HashMismatch(BundleError):  # noqa: N818 - the field's own term for it
    """A file of the bundle is missing, added or changed."""


class WrongBoard(BundleError):  # noqa: N818 - says what is wrong, as the tree above does
    """The bundle was made for other hardware than this machine."""


class ProofFailed(BundleError):  # noqa: N818 - says what happened, as the tree above does
    """Golden inputs or warm-up timing on this machine disagree with the bundle's proof."""


class RejectedInput(EdgeError):  # noqa: N818 - it is the input that was rejected
    """One message from outside is refused.

    Args:
        reason: a short stable word, used as the counter's key (for example ``oversize_pixels``).
        detail: what was seen, for the log.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class InferenceFailed(EdgeError):  # noqa: N818 - says what happened, as the tree above does
    """One run of the graph gave no usable scores; the frame's verdicts are unknown."""


class BrokerError(EdgeError):
    """The MQTT connection cannot be set up as configured."""


class ExportError(EdgeError):
    """A stage of the toolchain cannot do what the recipe asks."""

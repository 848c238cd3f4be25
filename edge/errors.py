"""Every error that this program raises, as one tree.

EdgeError
|- ConfigError              the site, recipe or board file is wrong: fix the file
|- BundleError              a bundle may not go live
|  |- FormatError           the manifest is not one that this version reads
|  |- HashMismatch          a file is missing, added or changed
|  |- WrongBoard            the bundle was made for other hardware
|  `- ProofFailed           golden inputs or warm-up timing disagree with the proof
|- RejectedInput            one message from outside is refused; counted by `reason`, never fatal
|- InferenceFailed          one run of the graph gave no usable scores; that frame's verdicts are unknown
|- SourceFailed             a camera gives no pictures; its code is the reason of `{camera}-silent` (edge.camera.shot)
|- BrokerError              the MQTT connection cannot be set up as configured
`- ExportError              a stage of the toolchain cannot do what the recipe asks
"""

from __future__ import annotations

import platform


class EdgeError(Exception):
    """Base of all errors of this project; its text states what the user can do next."""


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
        detail: what was seen, for the log; JSON can hold letters that no file can (lone surrogates), so they are escaped.
    """

    def __init__(self, reason: str, detail: str) -> None:
        detail = detail.encode("utf-8", "backslashreplace").decode()
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class InferenceFailed(EdgeError):  # noqa: N818 - says what happened, as the tree above does
    """One run of the graph gave no usable scores; the frame's verdicts are unknown."""


class NothingKnown(InferenceFailed):
    """The graph says of itself that it cannot judge this: all its scores are NaN, as in an operating state that was never recorded."""


class BrokerError(EdgeError):
    """The MQTT connection cannot be set up as configured."""


class ExportError(EdgeError):
    """A stage of the toolchain cannot do what the recipe asks."""


def refuse_other_systems(system: str = platform.system()) -> None:
    """Report clearly where this does not run, before something that only Linux has is missing in the middle of the work.

    Raises:
        EdgeError: this is not Linux.
    """
    if system != "Linux":
        raise EdgeError(
            f"this runs on Linux only, not on {system or 'this system'}; on Windows use WSL 2 or a virtual machine"
        )

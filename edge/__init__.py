"""No dependency may report to its maker: this file forbids it first, because no module of the package loads before it.

Importing it imports nothing but `os`. docs/network.md states what each dependency would do.
"""

import os
import sys

if "onnxruntime" in sys.modules and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
    import warnings

    warnings.warn(
        "onnxruntime was imported before edge, so its telemetry may be running. "
        "Import edge first, or set ORT_DISABLE_TELEMETRY=1 in the environment.",
        RuntimeWarning,
        stacklevel=2,
    )
# ONNX Runtime reads it once, while it is being imported, and writes a device id and an event store at once. Not `setdefault`: a "0" from
# somewhere in the environment must not switch it on. Processes that we start inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

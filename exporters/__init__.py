"""A build reads local folders only: this file forbids downloads and telemetry before any module of the package can load a library.

Importing it imports nothing but `os` and `edge`'s own switch. docs/network.md says what each dependency would do.
"""

import os

import edge  # noqa: F401 - for its settings of ONNX Runtime

# huggingface_hub reads both once, while it is being imported; transformers and accelerate ask it. They override the user's settings.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

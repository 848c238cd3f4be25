"""Trains the two small checkpoints of this repository, a SigLIP and a SmolVLM, from generated scenes and permissively licensed images."""

import os

# Read when torch first loads: on shared cores, waiting threads that spin cost several times the work itself.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""Trains the small SmolVLM checkpoint of this repository: the questions of an inspection, asked about the scenes that `examples.checkpoint` prepares."""

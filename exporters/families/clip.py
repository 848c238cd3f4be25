"""CLIP: class token, projections, and text pooled at its end mark."""

from exporters.families.dual_encoder import DualEncoder

FAMILY = DualEncoder(name="clip", model_type="clip", naflex=False, pad_to_max=False)

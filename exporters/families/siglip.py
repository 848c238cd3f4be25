"""SigLIP; also the fixed-resolution SigLIP 2 checkpoints, whose public model_type is `siglip`."""

from exporters.families.dual_encoder import DualEncoder

FAMILY = DualEncoder(name="siglip", model_type="siglip", naflex=False, pad_to_max=True)

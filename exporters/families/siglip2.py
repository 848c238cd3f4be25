"""SigLIP 2 in its NaFlex form, with the grid fixed to the square that fills its patch budget."""

from exporters.families.dual_encoder import DualEncoder

FAMILY = DualEncoder(name="siglip2", model_type="siglip2", naflex=True, pad_to_max=True)

"""The list of model families; a new family is one module and one line here."""

from exporters.families import clip, gemma3, mistral3, qwen3_vl, qwen35, siglip, siglip2, smolvlm
from exporters.families.base import Family

FAMILIES: tuple[Family, ...] = (
    siglip.FAMILY,
    siglip2.FAMILY,
    clip.FAMILY,
    smolvlm.FAMILY,
    gemma3.FAMILY,
    qwen3_vl.FAMILY,
    qwen35.FAMILY,
    mistral3.FAMILY,
)

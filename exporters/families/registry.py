"""The list of model families, and the choice of the one that reads a checkpoint. A new family is one module and one line here."""

from collections.abc import Sequence

from edge.errors import ExportError
from exporters.families import clip, gemma3, mistral3, pretrained, qwen3_vl, qwen35, siglip, siglip2, smolvlm
from exporters.model import Checkpoint, Family

FAMILIES: tuple[Family, ...] = (
    siglip.FAMILY,
    siglip2.FAMILY,
    clip.FAMILY,
    smolvlm.FAMILY,
    gemma3.FAMILY,
    qwen3_vl.FAMILY,
    qwen35.FAMILY,
    qwen35.MIXTURE,
    mistral3.FAMILY,
    pretrained.FAMILY,
)


def find_family(checkpoint: Checkpoint, families: Sequence[Family] = FAMILIES) -> Family:
    """The family that reads this checkpoint. Raises ExportError that lists what is supported."""
    for family in families:
        if family.matches(checkpoint):
            return family
    raise ExportError(
        f"{checkpoint.folder}: model_type {checkpoint.config.get('model_type')!r} is not supported; "
        f"supported families: {', '.join(family.name for family in families)}. An image tower alone (DINOv2, ConvNeXt, EfficientNet) "
        "is converted first: edge-export tower FOLDER OUT."
    )

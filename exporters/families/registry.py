"""The list of model families; a new family is one module and one line here."""

from exporters.families import clip, siglip, siglip2
from exporters.families.base import Family

FAMILIES: tuple[Family, ...] = (siglip.FAMILY, siglip2.FAMILY, clip.FAMILY)

"""The prompts of the evaluation: usual wording, and wording that no training caption uses."""

from __future__ import annotations

from examples.training.common import words

NORMAL = ["a flawless part", "a photo of a part in good order", "no visible fault", "an undamaged surface"]

USUAL: dict[str, list[str]] = {
    concept: [words.nouns(concept)[0], *(f"a photo of a part with {noun}" for noun in words.nouns(concept)[1:4])]
    for concept in words.LINE
}
"""Line fault -> prompts in the words that the captions use."""

UNSEEN: dict[str, list[str]] = {
    "scratch": ["a metal part that has scratches all over it", "look for scratched metal here"],
    "crack": ["a photo of a cracked metal part", "the component has cracked open"],
    "dent": ["metal that got dented by a blow", "a photo of a dented metal part"],
    "missing_bolt": ["one of its bolts was forgotten", "a bolt is absent, its hole is empty"],
    "oil_leak": ["the machine is leaking oil", "a photo of oil leaking out"],
    "misaligned_part": ["the component is not aligned with its marks", "a photo of a misaligned metal part"],
    "rust": ["rusting metal", "a photo of a rusty metal part"],
    "pitting": ["metal with many small pits", "a photo of a pitted metal part"],
    "foreign_object": ["an unknown object is lying there", "some foreign thing on top of the component"],
    "blocked_lens": ["the camera is blocked by something", "a photo with a blocked view"],
    "out_of_focus": ["the whole photo is blurry", "this picture is blurred and not in focus"],
}
"""Line fault -> sentences that are not in the caption grammar."""

TILE: dict[str, list[str]] = {
    "blowhole": ["a small dark hole"],
    "crack": ["a thin dark crack line"],
    "break": ["a chipped or broken edge"],
    "fray": ["a worn-off, frayed patch"],
    "uneven": ["uneven grinding, a step in surface texture"],
}
TILE_NORMAL = ["a flawless ground surface", "a flawless surface"]
"""Prompts from the magnetic tile set's own description."""

"""Reads how people say each label, from the file that edge-page writes, so that a draft says it so; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.errors import ConfigError, RejectedInput
from edge.parsing.structure import Bounds, json_within
from edge.parsing.toml_file import words
from exporters.draft.choice import Choice, Fault
from exporters.recipe import Phrase

BOUNDS = Bounds(size_bytes=200_000, values=5_000)


class Phrasing(BaseModel):
    """One label: its title, and phrasings of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: str
    title: Phrase
    words: tuple[Phrase, ...] = Field(min_length=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["edge.words/1"] = Field(alias="schema")
    faults: tuple[Phrasing, ...]


def read_phrases(name: str, data: bytes) -> dict[str, Phrasing]:
    """What a file says of each label.

    Raises:
        ConfigError: it is none of edge.words/1.
    """
    try:
        found = _File.model_validate(json_within(data, BOUNDS))
    except RejectedInput as error:
        raise ConfigError(f"{name} cannot be read as JSON ({error}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{name}: {'.'.join(map(str, first['loc']))}: {words(first)}") from error
    return {one.label: one for one in found.faults}


def rephrased(choice: Choice, phrases: Mapping[str, Phrasing]) -> Choice:
    """The choice with these words; a fault of several labels takes those of the first that has some."""
    return replace(choice, faults=tuple(_said(fault, phrases) for fault in choice.faults))


def _said(fault: Fault, phrases: Mapping[str, Phrasing]) -> Fault:
    found = next((phrases[label] for label in fault.labels if label in phrases), None)
    return fault if found is None else replace(fault, title=found.title, words=found.words)

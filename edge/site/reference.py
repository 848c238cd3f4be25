"""Writes the settings reference docs/settings.md from the fields' own descriptions."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.site.settings import ENV_PREFIX, Site


def reference_markdown() -> str:
    """The settings reference, as Markdown, from the fields' own descriptions."""
    lines = [
        "# Settings of `edge-daemon`",
        "",
        "Generated from the files of `edge/site` (`edge-daemon settings`). Every key can also be set by an environment variable:",
        f"`{ENV_PREFIX}BROKER__HOST=10.0.0.5` overrides `broker.host`.",
        "",
    ]
    _describe(Site, "", lines)
    return "\n".join(lines).rstrip() + "\n"


def _describe(model: type[BaseModel], prefix: str, lines: list[str]) -> None:
    nested: list[tuple[str, type[BaseModel]]] = []
    lines += [
        f"## {f'`[{prefix}]`' if prefix else 'Top level'}",
        "",
        (model.__doc__ or "").strip(),
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        section = _section_of(field.annotation)
        if section is not None:
            nested.append((f"{prefix}.{name}".lstrip("."), section))
        lines.append(
            f"| `{name}` | {_type_name(field)} | {_default(field)} | {field.description or (section.__doc__ or '').strip().splitlines()[0] if section else field.description or name} |"
        )
    lines.append("")
    for path, section in nested:
        _describe(section, path, lines)


def _section_of(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - a type expression
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_of(part)) is not None), None)


def _type_name(field: FieldInfo) -> str:
    text = (
        str(field.annotation)
        if get_args(field.annotation)
        else getattr(field.annotation, "__name__", str(field.annotation))
    )
    text = re.sub(r"typing\.|pathlib\.|annotated_types\.|edge\.site\.\w+\.", "", text)
    if text.startswith(("Annotated", "tuple[Annotated", "tuple[edge.wire", "dict[str, Annotated")) or len(text) > 60:
        text = "list" if text.startswith("tuple") else "table" if text.startswith("dict") else "text"
    return text.replace("|", "or").replace("<class '", "").replace("'>", "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    return f"`{value}`" if value not in (None, "", (), {}) else "none"

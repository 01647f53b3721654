"""manifest.schema.json, made from the very classes that a gateway reads a manifest into.

``python -m export.schema`` writes edge/manifest.schema.json anew; a test holds the two together.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import edge.manifest
from edge.manifest import (
    AGGREGATES,
    ANCHORS,
    FORMAT,
    FORMATS,
    NAIVE,
    POOLINGS,
    PRECISIONS,
    TRANSFORMS,
    VARIANTS,
    Manifest,
)

PATH = Path(edge.manifest.__file__).with_name("manifest.schema.json")
_PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean"}
_CHOICES = {
    "aggregate": AGGREGATES,
    "transform": TRANSFORMS,
    "precision": PRECISIONS,
    "format": FORMATS,
    "variant": VARIANTS,
    "pooling": POOLINGS,
}
_LISTED = {"kinds": NAIVE, "anchors": ANCHORS}


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of manifest.json."""
    definitions: dict[str, Any] = {}
    _of(Manifest, definitions)
    top = dict(definitions.pop("Manifest"))
    properties = {"format": {"const": FORMAT}, **top["properties"]}
    properties["files"] = {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "properties": {
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "size_bytes": {"type": "integer", "minimum": 0},
            },
            "required": ["sha256", "size_bytes"],
            "additionalProperties": False,
        },
    }
    properties["metrics"] = {"type": "object", "additionalProperties": {"type": "number"}}
    top |= {"properties": properties, "required": list(properties)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Talus bundle manifest",
        **top,
        "$defs": definitions,
    }


def _of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if is_dataclass(kind):
        name = kind.__name__  # type: ignore[union-attr]
        if name not in definitions:
            definitions[name] = {}  # entered first: a class may hold itself
            definitions[name] = _record(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    inner = get_args(kind)[0]
    return {"type": "array", "items": _of(inner, definitions)}


def _record(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    properties = {}
    for field in fields(kind):
        found = _of(hints[field.name], definitions) if field.name not in _OWN else {}
        if field.name in _CHOICES:
            found["enum"] = list(_CHOICES[field.name])
        if field.name in _LISTED:
            found["items"]["enum"] = list(_LISTED[field.name])
        properties[field.name] = found
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_OWN = ("files", "metrics")
"""Pairs in Python, objects in the file."""


def main() -> None:
    """Write the file."""
    PATH.write_text(json.dumps(schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

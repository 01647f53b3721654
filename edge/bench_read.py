"""A result from a file, held against its published schema: what is read from it then is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge.bench_result import FORMAT, KIND
from edge.errors import TalusError
from edge.schema_commands import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 256 * 1024 * 1024
_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,),
    "integer": (int,), "number": (int, float), "null": (type(None),),
}  # fmt: skip
_MAKE = "talus bench --json makes one"


def read_result(path: Path) -> dict[str, Any]:
    """Return the values of a result. Raises TalusError, which names the file and what to do."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TalusError(f"{path}: larger than any result of talus bench; {_MAKE}")
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise TalusError(f"{path}: {error.strerror or error}; {_MAKE}") from error
    except (ValueError, RecursionError) as error:
        raise TalusError(f"{path}: not JSON ({str(error)[:100]}); {_MAKE}") from error
    if not isinstance(values, dict) or values.get("kind") != KIND:
        raise TalusError(f"{path}: not a result of talus bench; {_MAKE}")
    if values.get("format") != FORMAT:
        raise TalusError(
            f"{path}: format {str(values.get('format'))[:20]}, this release reads {FORMAT}: "
            "compare with the release that wrote it, or run talus bench --json anew"
        )
    schema = load_schema("bench")
    for fault in faults(values, schema, schema, ""):
        raise TalusError(f"{path}: damaged: {fault}; run talus bench --json anew")
    return values


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str) -> Iterator[str]:
    """Give what is not as a schema says, of the words that the schema of a result uses."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    where = path or "the document"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        yield f"{where} must be {' or '.join(kinds)}"
        return
    if "anyOf" in schema:
        found = [list(faults(value, each, root, path)) for each in schema["anyOf"]]
        if all(found):
            yield found[0][0]
    if "const" in schema and (value != schema["const"] or isinstance(value, bool)):
        yield f"{where} must be {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where} must be one of {schema['enum']}"
    if "minimum" in schema and _is(value, "number") and value < schema["minimum"]:
        yield f"{where} must not be below {schema['minimum']}"
    if isinstance(value, dict):
        yield from _inside(value, schema, root, path)
    elif isinstance(value, list) and "items" in schema:
        for i, each in enumerate(value):
            yield from faults(each, schema["items"], root, f"{path}[{i}]")


def _inside(
    value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], path: str
) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key in schema.get("required", ()):
        if key not in value:
            yield f"{path}.{key} is missing".lstrip(".")
    for key, each in value.items():
        inner = known.get(key, others)
        if isinstance(inner, dict):
            yield from faults(each, inner, root, f"{path}.{key}".lstrip("."))


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))):
        return False  # json takes NaN, JSON has none
    return isinstance(value, _KINDS[kind])

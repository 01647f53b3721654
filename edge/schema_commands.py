"""The command `talus schemas`: the JSON Schemas of the messages, as they ship."""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = (
    "alarm", "state", "health", "telemetry", "status", "forecast", "reply", "command", "bench",
)  # fmt: skip
_EXAMPLES = """\
examples:
  talus schemas                      the messages that there are, and their formats
  talus schemas alarm                JSON Schema (draft 2020-12) of one
  talus schemas alarm > alarm.schema.json
  talus schemas bench                what talus bench --json writes; no message

A message says its `format`. The number rises when a field goes or means something else; new
fields may come at any time, and receivers leave alone what they do not know. A command is signed
whole, and a gateway refuses one with a field that it does not know.
"""


def add_commands(commands: Any) -> None:
    """Add it to the parser of ``talus``."""
    schemas = commands.add_parser(
        "schemas", help="the JSON Schemas of the messages", epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    schemas.add_argument("name", nargs="?", choices=NAMES, help="which message")


def load_schema(name: str) -> dict[str, Any]:
    """Return the schema of a message."""
    return dict(json.loads(_text(name)))


def format_of(schema: dict[str, Any]) -> int:
    """Return the format that a schema is of; a command does not bear it."""
    return int(schema["properties"].get("format", {}).get("const") or schema["x-format"])


def run_schemas(args: argparse.Namespace) -> int:
    """Run ``talus schemas``; returns its exit code."""
    if args.name:
        print(_text(args.name), end="")
        return 0
    for name in NAMES:
        schema = load_schema(name)
        known = format_of(schema)
        print(f"{name:10} format {known}  {schema['x-topic']:36} {schema['title']}")
    return 0


def _text(name: str) -> str:
    return files("edge").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")


RUN: dict[str, Callable[[argparse.Namespace], int]] = {"schemas": run_schemas}

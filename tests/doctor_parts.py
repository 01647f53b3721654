"""What tests of talus doctor begin with: trees as the kernel shows them, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from tiny_bundle import gateway_toml, make

from edge.__main__ import main
from edge.schema_commands import load_schema

SCHEMA = Draft202012Validator(load_schema("doctor"))
UNSIGNED = "allow_unsigned = true"


def tree(root: Path, **files: str) -> Path:
    """Write files below a root; `__` stands for `/` in a name that is given as a keyword."""
    for name, text in files.items():
        plant(root, name.replace("__", "/"), text)
    return root


def plant(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def program(root: Path, name: str, script: str) -> None:
    plant(root, f"usr/bin/{name}", f"#!/bin/sh\n{script}\n").chmod(0o755)


def site(folder: Path, trust: str = UNSIGNED) -> Path:
    """A gateway whose bundle is proven, whose port says nothing, and that has no broker."""
    make(folder / "bundle")
    return gateway_toml(folder, trust)


def doctor(capsys: Any, *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the command; gives its exit code and its diagnoses, which are as the schema says."""
    code = main(["doctor", "--json", *words])
    values = json.loads(capsys.readouterr().out)
    assert [each.message for each in SCHEMA.iter_errors(values)] == []
    assert values["exit_code"] == code
    return code, values["diagnoses"]


def of(diagnoses: list[dict[str, Any]], check: str, subject: str = "") -> dict[str, Any]:
    """The one diagnosis of a check whose subject begins so."""
    (found,) = [d for d in diagnoses if d["check"] == check and d["subject"].startswith(subject)]
    return found

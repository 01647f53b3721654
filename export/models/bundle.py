"""A bundle onto disk: written aside, flushed, and put in place in one step."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.bundle import load_bundle
from edge.config import RuntimeConfig
from edge.errors import TalusError
from edge.manifest import FORMAT
from edge.runtime import RUNTIMES, load
from edge.trust import ANY_SIGNER

if TYPE_CHECKING:
    from edge.manifest import Manifest
    from edge.runtime import Model
    from export.models.artifacts import Exported


def first_model(exported: Exported) -> Model:
    """Load the artifact and runtime that a gateway would take first."""
    for runtime in RUNTIMES:
        for artifact in exported.artifacts:
            if runtime in artifact.runtimes:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / artifact.file
                    path.write_bytes(exported.files[artifact.file])
                    return load(path, runtime)
    raise TalusError("no artifact that a runtime installed here can run")


def check_out(out: Path) -> None:
    """Raise TalusError if something stands there that is no bundle, or nothing can."""
    folder = out.is_dir()
    if (out.exists() or out.is_symlink()) and not (
        folder and ((out / "manifest.json").exists() or not any(out.iterdir()))
    ):
        raise TalusError(f"{out}: exists and is no bundle; choose another --out")
    parent = out.resolve().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise TalusError(f"{out}: cannot be written in {parent}; choose another --out")


def bundled_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return every file that a checked manifest lists."""
    return {name: (folder / name).read_bytes() for name, _, _ in manifest.files}


def write_bundle(
    out: Path,
    manifest: Manifest,
    files: dict[str, bytes],
    golden: dict[str, dict[str, object]],
) -> None:
    """Write a bundle and load it as a gateway would. Raises TalusError, leaving ``out`` alone.

    An existing folder is replaced only if it is a bundle.
    """
    check_out(out)
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    every = dict(files)
    for name, vectors in golden.items():
        every[name] = json.dumps(vectors, separators=(",", ":")).encode()
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    old = aside.with_name(aside.name + ".old")
    try:
        for name, data in {**every, "manifest.json": manifest_json(manifest, every)}.items():
            with (aside / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        aside.chmod(0o755)
        load_bundle(aside, RuntimeConfig(tuple(RUNTIMES), "auto"), ANY_SIGNER)
        if out.exists():
            out.rename(old)
        aside.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(aside, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def manifest_json(manifest: Manifest, files: dict[str, bytes]) -> bytes:
    """Return manifest.json for these files."""
    values: dict[str, Any] = {"format": FORMAT, **dataclasses.asdict(manifest)}
    values["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        for name, data in sorted(files.items())
    }
    values["metrics"] = {key: round(value, 6) for key, value in manifest.metrics}
    return json.dumps(values, indent=1).encode() + b"\n"

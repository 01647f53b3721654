"""The lock: which wheels are packed, by version and sha256, so that a package can be made again."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import TalusError
from export.folder import write_file
from export.package.targets import MACHINES, RELEASES, Target
from export.package.wheels import run_pip

if TYPE_CHECKING:
    from collections.abc import Iterator

_WANTED = ("ai-edge-litert>=1.2", "onnxruntime>=1.17", "paho-mqtt>=2.0,<3", "pyserial>=3.5,<4",
           "pip>=23")  # fmt: skip
_NUMPY = {"3.11": "numpy>=1.26,<2"}
"""Where tflite-runtime is: it was built for the older one."""
_TFLITE = {"3.11": "tflite-runtime>=2.14"}
_HEAD = """\
# What is packed for Python {python}: made by talus-export wheelhouse --renew-lock, for the oldest
# C library of those that have it. A wheel that has another sha256 is refused.
"""


def renew(folder: Path) -> Iterator[str]:
    """Write the locks anew with the newest versions; says what was done. Raises TalusError."""
    for python in sorted({release.python for release in RELEASES.values()}):
        release = min((r for r in RELEASES.values() if r.python == python), key=lambda r: r.glibc)
        found: dict[str, dict[str, list[str]]] = {}
        for arch in MACHINES:
            for name, version, sha256 in _newest(Target(release, arch)):
                found.setdefault(name, {}).setdefault(version, []).append(sha256)
        lines = []
        for name, versions in sorted(found.items()):
            if len(versions) > 1:
                raise TalusError(f"{name}: another version on each architecture: {[*versions]}")
            ((version, hashes),) = versions.items()
            words = [f"--hash=sha256:{each}" for each in sorted(set(hashes))]
            lines.append(" ".join([f"{name}=={version}", *words]))
        path = folder / f"wheels-{Target(release, 'arm64').abi}.txt"
        text = _HEAD.format(python=python) + "\n".join(lines) + "\n"
        write_file(path, text.encode())
        yield f"{path}: {len(lines)} packages, glibc 2.{release.glibc}"


def _newest(target: Target) -> Iterator[tuple[str, str, str]]:
    """Fetch the newest wheels; gives name, version, sha256."""
    python = target.release.python
    wanted = [*_WANTED, _NUMPY.get(python, "numpy>=1.26")]
    wanted += [_TFLITE[python]] if python in _TFLITE else []
    with tempfile.TemporaryDirectory() as folder:
        run_pip(target, wanted, Path(folder))
        for path in sorted(Path(folder).glob("*.whl")):
            name, version = path.name.split("-")[:2]
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            yield name.lower().replace("_", "-"), version, sha256

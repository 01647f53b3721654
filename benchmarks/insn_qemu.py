"""Instructions that an arm64 program takes, counted by qemu-user with its own insn plugin.

The plugin stands in no package of Debian: it is built here from the source package of the qemu that
is installed, and kept in the cache.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flash_debian import CPU, cache

if TYPE_CHECKING:
    from collections.abc import Sequence

TOOLS = {
    "qemu-aarch64": "qemu-user", "dpkg-source": "dpkg-dev",
    "gcc": "gcc", "pkg-config": "pkg-config",
}  # fmt: skip
GLIB = "libglib2.0-dev"
_SOURCES = """\
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: {suite} {suite}-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://deb.debian.org/debian-security
Suites: {suite}-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
_PLUGIN, _HEADER = "tests/plugin/insn.c", "include/qemu/qemu-plugin.h"
_COUNT = re.compile(r"insns: (\d+)")
_RUN_S = 1800
_LIBRARIES = "/usr/lib/aarch64-linux-gnu"
_ALGEBRA = f"{_LIBRARIES}/blas:{_LIBRARIES}/lapack"
"""Where numpy's BLAS stands: Debian's links to it are absolute, and lead out of the root."""


def why_not() -> str:
    """Return what is missing to count, "" for nothing."""
    absent = [package for name, package in TOOLS.items() if shutil.which(name) is None]
    if not absent and _said("pkg-config", "--exists", "glib-2.0") is None:
        absent = [GLIB]
    return f"apt install {' '.join(absent)}" if absent else ""


def _said(*words: str | Path) -> str | None:
    """Return what a program wrote, None where it failed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout.strip()


def plugin() -> Path:
    """Return the plugin of the qemu that is installed; built where there is none yet.

    Raises RuntimeError with what the package tools said.
    """
    version = _said("dpkg-query", "-W", "-f", "${source:Version}", "qemu-user")
    if not version:
        raise RuntimeError("qemu-user is no package here: its plugin needs the same source")
    kept = cache() / f"insn-{version.replace(':', '_').replace('/', '_')}.so"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="insn-") as name:
            _build(Path(name), version).rename(kept.with_suffix(".new"))
        kept.with_suffix(".new").rename(kept)
    return kept


def _build(folder: Path, version: str) -> Path:
    """Fetch the source package, take the two files that matter, compile."""
    suite = re.findall(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text("utf-8"))
    for each in ("parts", "lists/partial"):
        (folder / each).mkdir(parents=True)
    (folder / "parts/source.sources").write_text(_SOURCES.format(suite=suite[0]), encoding="ascii")
    apt = ["apt-get", "-q", "-o", "Dir::Etc::sourcelist=/dev/null", "-o",
           f"Dir::Etc::sourceparts={folder}/parts", "-o", f"Dir::State::lists={folder}/lists",
           "-o", "APT::Sandbox::User=root"]  # fmt: skip
    _must(folder, *apt, "update")
    _must(folder, *apt, "source", "--download-only", "--only-source", f"qemu={version}")
    (packed,) = folder.glob("qemu_*.orig.tar.*")
    _must(folder, "tar", "xf", packed, "--wildcards", f"*/{_PLUGIN}", f"*/{_HEADER}")
    (source,), (header,) = folder.glob(f"qemu*/{_PLUGIN}"), folder.glob(f"qemu*/{_HEADER}")
    flags = (_said("pkg-config", "--cflags", "glib-2.0") or "").split()
    made = cache() / "insn.building.so"
    _must(folder, "gcc", "-shared", "-fPIC", "-O2", "-I", header.parent, *flags, source, "-o", made)
    return made


def _must(folder: Path, *words: str | Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-600:]}")


def instructions(root: Path, words: Sequence[str | Path], library: str) -> int:
    """Return how many instructions a program of a root takes. Raises RuntimeError."""
    with tempfile.NamedTemporaryFile(prefix="insn-") as out:
        command = [
            "qemu-aarch64", "-L", root, "-plugin", f"{plugin()},inline=on", "-d", "plugin",
            "-D", out.name, "-E", f"LD_LIBRARY_PATH={_ALGEBRA}", *words,
        ]  # fmt: skip
        # What may differ from run to run is fixed: addresses, hashes, threads.
        environ = {"QEMU_CPU": CPU, "PYTHONHASHSEED": "0", "PYTHONPATH": library,
                   "OPENBLAS_NUM_THREADS": "1", "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1",
                   "LC_ALL": "C.UTF-8"}  # fmt: skip
        done = subprocess.run(
            ["setarch", "-R", *command], env=environ, capture_output=True, text=True, check=False,
            timeout=_RUN_S,
        )  # fmt: skip
        found = _COUNT.search(Path(out.name).read_text(encoding="utf-8"))
    if done.returncode or not found:
        raise RuntimeError(f"ended with {done.returncode}: {done.stderr.strip()[-800:]}")
    return int(found[1])

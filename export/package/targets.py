"""The machines that are packed for: their Python, their C library, their words for themselves."""

from __future__ import annotations

from dataclasses import dataclass

from edge.errors import TalusError


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a distribution."""

    name: str
    python: str
    """Minor version that Talus runs with there."""
    glibc: int
    """2.x"""
    systemd: int
    mark: str = ""
    """In the version of a .deb; "": none is made for it."""
    note: str = ""
    """What is not as one would think."""


_OWN_PYTHON = (
    "its own Python is 3.10, Talus needs 3.11: install.sh takes python3.11 where it is installed "
    "(the deadsnakes archive has it), or the standalone Python put in with --python-archive"
)
RELEASES = {
    each.name: each
    for each in (
        Release("bookworm", "3.11", 36, 252, "deb12"),
        Release("trixie", "3.13", 41, 257, "deb13"),
        Release("jetpack6", "3.11", 35, 249, note=_OWN_PYTHON),
        Release("jetpack7", "3.12", 39, 255),
        Release("ubuntu22.04", "3.11", 35, 249, note=_OWN_PYTHON),
        Release("ubuntu24.04", "3.12", 39, 255),
    )
}
SUITES = tuple(name for name, each in RELEASES.items() if each.mark)
MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
"""Debian's words for them, and those of wheels."""
_HINTS = {
    "armhf": "neither LiteRT nor ONNX Runtime has wheels for 32-bit ARM; put a 64-bit system on it",
    "aarch64": "Debian says arm64",
    "x86_64": "Debian says amd64",
    "bullseye": "its Python is 3.9, Talus needs 3.11",
    "jammy": "a folder is made for it: talus-export wheelhouse --for ubuntu22.04",
    "noble": "a folder is made for it: talus-export wheelhouse --for ubuntu24.04",
    "jetpack5": "its Python is 3.8 and its C library 2.31, too old for LiteRT's wheels with 3.11",
}
_HINTS["armv7l"] = _HINTS["armhf"]
_OLDEST_GLIBC = 17


@dataclass(frozen=True, slots=True)
class Target:
    """A release on an architecture."""

    release: Release
    arch: str

    @property
    def abi(self) -> str:
        """Return the word of wheels for its Python, such as cp311."""
        return "cp" + self.release.python.replace(".", "")

    @property
    def platforms(self) -> tuple[str, ...]:
        """Return the platforms whose wheels run there, the newest first."""
        machine = MACHINES[self.arch]
        names = [f"manylinux_2_{v}" for v in range(self.release.glibc, _OLDEST_GLIBC - 1, -1)]
        return tuple(f"{name}_{machine}" for name in [*names, "manylinux2014"])


def known(kind: str, name: str, among: tuple[str, ...]) -> str:
    """Return the name. Raises TalusError with what there is, and what may have been meant."""
    if name in among:
        return name
    hint = f"; {_HINTS[name]}" if name in _HINTS else ""
    raise TalusError(f"{kind} {name!r}: there are {', '.join(among)}{hint}")


def target(release: str, arch: str) -> Target:
    """Return a target. Raises TalusError."""
    known("--arch", arch, tuple(MACHINES))
    return Target(RELEASES[known("release", release, tuple(RELEASES))], arch)

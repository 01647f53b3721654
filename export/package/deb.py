"""The .deb of a gateway, made in Python alone: on any PC, without dpkg, always the same bytes."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge import __version__
from export.package.archive import Entry, make_ar, make_tar, make_xz
from export.package.targets import RELEASES
from export.package.tree import glibc_needed, own_files, wheel_files
from export.package.wheels import FILES, PIP, SLIM, fetch, locked
from export.source_date import source_date_s

if TYPE_CHECKING:
    from export.package.targets import Target

NAME = "talus-edge"
EPOCH_S = 1_767_225_600
"""Time of all files, where SOURCE_DATE_EPOCH says no other."""
CONFIG = "etc/talus/gateway.toml"
_PACKAGE = "opt/talus/package"
_COMMANDS = {
    "talus": "edge.__main__",
    "talus-flash": "firmware_bridge.flash",
    "talus-update": "edge.update_command",
}
_UPDATE_UNITS = ("talus-update.service", "talus-update.path")
_RESTART_STEPS = 254
"""Since this version systemd lets a restart wait longer each time."""
_ABOUT = """\
landslide monitoring on a field gateway
 Reads sensors over serial lines, runs a streaming GRU and an autoencoder, decides by a site's
 rules, keeps alarms and relays them over MQTT. {holds}
"""


@dataclass(frozen=True, slots=True)
class Deb:
    """A package."""

    name: str
    content: bytes
    version: str

    @property
    def sha256(self) -> str:
        """Return its sha256 in hex."""
        return hashlib.sha256(self.content).hexdigest()


def deb_version(target: Target, *, slim: bool) -> str:
    """Return the version: that of Talus, and what tells the packages of it apart."""
    return f"{__version__}+{target.release.mark}.{'slim' if slim else 'full'}"


def make_deb(target: Target, *, slim: bool, wheels: Path | None = None) -> Deb:
    """Make a package. ``wheels``: a folder that has them, no network then. Raises TalusError."""
    version, time_s = deb_version(target, slim=slim), source_date_s(EPOCH_S)
    names = SLIM if slim else tuple(name for name in locked(target) if name != PIP)
    with tempfile.TemporaryDirectory() as folder:
        fetch(target, names, Path(folder), wheels)
        paths = sorted(Path(folder).glob("*.whl"))
        lib = own_files()
        for path in paths:
            lib |= wheel_files(path)
        glibc = max(map(glibc_needed, paths))
        packed = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    release = {
        "format": 1, "version": version, "suite": target.release.name, "arch": target.arch,
        "python": target.release.python, "slim": slim, "wheels": packed,
    }  # fmt: skip
    data = _files(target, lib, release)
    control = _control(target, version, data, glibc, slim=slim)
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", make_xz(make_tar(control, time_s))),
        ("data.tar.xz", make_xz(make_tar(data, time_s))),
    ]
    return Deb(f"{NAME}_{version}_{target.arch}.deb", make_ar(members, time_s), version)


def text_of(name: str, **values: str) -> str:
    """Return a file that is shipped, with ``@NAME@`` replaced."""
    text = (FILES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def unit_text(release: str) -> str:
    """Return the systemd unit for a release of a distribution."""
    backoff = text_of("backoff.conf") if RELEASES[release].systemd >= _RESTART_STEPS else ""
    return text_of("talus.service", BACKOFF=backoff)


def _files(target: Target, lib: dict[str, bytes], release: dict[str, object]) -> dict[str, Entry]:
    found = {f"{_PACKAGE}/lib/{name}": Entry(content) for name, content in lib.items()}
    for name, module in _COMMANDS.items():
        script = text_of("talus", PYTHON=target.release.python, MODULE=module)
        found[f"{_PACKAGE}/bin/{name}"] = Entry(script.encode(), executable=True)
        found[f"usr/bin/{name}"] = Entry(link=f"/opt/talus/current/bin/{name}")
    found[f"{_PACKAGE}/release.json"] = Entry(json.dumps(release, indent=1).encode() + b"\n")
    unit = unit_text(target.release.name).encode()
    found["usr/lib/systemd/system/talus.service"] = Entry(unit)
    for name in _UPDATE_UNITS:
        found[f"usr/lib/systemd/system/{name}"] = Entry(text_of(name).encode())
    found["usr/lib/modules-load.d/talus.conf"] = Entry(text_of("modules.conf").encode())
    shared = f"usr/share/{NAME}/journald-volatile.conf"
    found[shared] = Entry(text_of("journald-volatile.conf").encode())
    found[f"usr/share/doc/{NAME}/copyright"] = Entry(text_of("copyright").encode())
    found[CONFIG] = Entry(text_of("gateway.toml").encode(), mode=0o640)
    return found


def _control(
    target: Target, version: str, data: dict[str, Entry], glibc: int, *, slim: bool
) -> dict[str, Entry]:
    major, minor = map(int, target.release.python.split("."))
    needs = [f"python3 (>= {major}.{minor})", f"python3 (<< {major}.{minor + 1})",
             f"libc6 (>= 2.{glibc})", "libstdc++6", "libgcc-s1", "passwd"]  # fmt: skip
    needs += ["python3-numpy (>= 1:1.23)"] if slim else []
    holds = "With LiteRT; numpy is the system's." if slim else "With all runtimes."
    kb = sum(-(-len(entry.content) // 1024) for entry in data.values())
    fields = {
        "Package": NAME, "Version": version, "Architecture": target.arch,
        "Maintainer": "Talus <talus@localhost>", "Installed-Size": str(kb),
        "Depends": ", ".join(needs), "Section": "science", "Priority": "optional",
        "Description": _ABOUT.format(holds=holds).rstrip(),
    }  # fmt: skip
    sums = [
        f"{hashlib.md5(entry.content, usedforsecurity=False).hexdigest()}  {path}\n"
        for path, entry in sorted(data.items())
        if not entry.link and path != CONFIG
    ]
    control = "".join(f"{key}: {value}\n" for key, value in fields.items())
    found = {
        "control": Entry(control.encode()),
        "md5sums": Entry("".join(sums).encode()),
        "conffiles": Entry(f"/{CONFIG}\n".encode()),
    }
    for name in ("postinst", "prerm", "postrm"):
        script = text_of(name, VERSION=version, PYTHON=target.release.python)
        found[name] = Entry(script.encode(), executable=True)
    return found

"""A root file system as mmdebstrap would pack it, small, with what is hard about one."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

HARD = ("home/me/sys\\x2dcrypt.slice", 'home/me/a "b"', "home/me/'c' $d;e*", "home/me/\u00e9")
"""Names as they are in a Debian root, and worse."""


def tarball(path: Path) -> Path:
    """A root as mmdebstrap would make it: owners, setuid, links of all kinds, a device."""
    with tarfile.open(path, "w") as tar:

        def add(name: str, content: bytes = b"", **fields: object) -> None:
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            entry.mtime = 1_600_000_000
            for key, value in fields.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(content))

        for name in ("", "etc", "usr", "usr/bin", "usr/lib", "home", "home/me", "dev"):
            add(name, type=tarfile.DIRTYPE, mode=0o755)
        add("tmp", type=tarfile.DIRTYPE, mode=0o1777)
        add("etc/shadow", b"root:*:1::::::\n", mode=0o640, gid=42)
        add("usr/bin/su", b"\x7fELF" * 5000, mode=0o4755)
        add("usr/bin/su2", type=tarfile.LNKTYPE, linkname="./usr/bin/su", mode=0o4755)
        add("bin", type=tarfile.SYMTYPE, linkname="usr/bin", mode=0o777)
        add("lib", type=tarfile.SYMTYPE, linkname="/usr/lib", mode=0o777)
        add("home/me/a file (1)", b"x", uid=1000, gid=1001, mode=0o600)
        for name in HARD:
            add(name, b"x", uid=1000, gid=1001, mode=0o600)
        add("home/me/secret", b"y", uid=1000, mode=0)
        add("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
        add("usr/lib/implied/by/file", b"z")
    return path

"""An initial ram disk of few files: what finds the card and mounts its root.

Debian's own takes minutes to be made by an emulated processor, and seconds to be unpacked by one.
"""

from __future__ import annotations

import lzma
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
"""In the order in which they are loaded, each after those it needs."""
ROOT = "/dev/vda2"
_INIT = f"""\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do
  /bin/busybox insmod "$module"
done
while [ ! -b {ROOT} ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o ro {ROOT} /root
/bin/busybox umount /dev
exec /bin/busybox switch_root /root /sbin/init
"""
_DIR, _FILE, _DEVICE = 0o040755, 0o100755, 0o020600
_CONSOLE = (5, 1)


def in_order(dependencies: str, wanted: Iterable[str]) -> list[str]:
    """Return the paths of modules and of what they need, by ``modules.dep``, ready to be loaded.

    What is not in it is built into the kernel.
    """
    needs: dict[str, list[str]] = {}
    paths: dict[str, str] = {}
    for line in dependencies.splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
        paths[PurePosixPath(path).name.partition(".")[0].replace("-", "_")] = path
    found: list[str] = []

    def add(path: str) -> None:
        # modules.dep names all that a module needs, the last to be loaded first.
        for each in reversed(needs.get(path, [])):
            if each not in found:
                add(each)
        if path not in found:
            found.append(path)

    for name in wanted:
        if name in paths:
            add(paths[name])
    return found


def cpio(entries: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Return an archive as the kernel reads it: mode and content by path."""
    out = bytearray()
    every = [*entries.items(), ("TRAILER!!!", (0, b""))]
    for number, (name, (mode, content)) in enumerate(every, 1):
        major, minor = _CONSOLE if mode == _DEVICE else (0, 0)
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields)
        out += name.encode() + b"\0"
        out += bytes(-len(out) % 4) + content
        out += bytes(-len(out) % 4)
    return bytes(out)


def make_initrd(root: Path) -> bytes:
    """Return the ram disk for the kernel of a root, with the busybox that is there."""
    (kernel,) = (root / "lib/modules").iterdir()
    dependencies = (kernel / "modules.dep").read_text(encoding="ascii")
    entries = dict.fromkeys(("dev", "root", "bin", "modules"), (_DIR, b""))
    entries["dev/console"] = (_DEVICE, b"")
    entries["init"] = (_FILE, _INIT.encode())
    entries["bin/busybox"] = (_FILE, (root / "bin/busybox").read_bytes())
    for number, path in enumerate(in_order(dependencies, MODULES)):
        content = (kernel / path).read_bytes()
        if path.endswith(".xz"):
            content = lzma.decompress(content)
        name = PurePosixPath(path).name.removesuffix(".xz")
        entries[f"modules/{number:02}-{name}"] = (_FILE, content)
    return cpio(entries)

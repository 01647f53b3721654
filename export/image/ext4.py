"""An ext4 file system from a folder, without root: owners, modes and times are set afterwards.

mke2fs -d takes names in their order, and times and owners as they lie here; debugfs then puts in
what each entry is on the gateway, so that the bytes hang on nothing of this PC.
"""

from __future__ import annotations

import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.errors import TalusError
from export.image.layout import MIB
from export.image.tools import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_CONF = """\
[defaults]
	base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
	default_mntopts = acl,user_xattr
	enable_periodic_fsck = 0
	blocksize = 4096
	inode_size = 256
	inode_ratio = 8192
[fs_types]
	ext4 = {
		features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
	}
	small = {
	}
"""


_PER_INODE = 8192
"""As above; a root of many small files takes more of them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one path is on the gateway; ``mode`` with its type."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0


def make_ext4(
    path: Path,
    size_mib: int,
    label: str,
    uuid: UUID,
    tree: Path,
    entries: Mapping[str, Entry],
    time_s: int,
) -> None:
    """Make the file system. ``entries``: by path relative to ``tree``; "" is its root."""
    path.unlink(missing_ok=True)
    env = {"E2FSPROGS_FAKE_TIME": str(time_s)}
    with tempfile.TemporaryDirectory() as scratch:
        conf = Path(scratch) / "mke2fs.conf"
        conf.write_text(_CONF, encoding="utf-8")
        number = len(entries) * 6 // 5 + 1024
        inodes = ["-N", str(number)] if number > size_mib * MIB // _PER_INODE else []
        fixed = f"hash_seed={uuid},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
        run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, "-L", label, "-U", str(uuid),
             "-m", "1", *inodes, "-E", fixed, path, f"{size_mib * MIB // 1024}k"],
            env={**env, "MKE2FS_CONFIG": str(conf)})  # fmt: skip
        script = Path(scratch) / "debugfs.commands"
        script.write_text(_script(entries, time_s), encoding="utf-8", errors="surrogateescape")
        run(["debugfs", "-w", "-f", script, path], env=env)
    run(["e2fsck", "-fn", path], env=env)


def _script(entries: Mapping[str, Entry], time_s: int) -> str:
    lines = []
    every = {"lost+found": Entry(stat.S_IFDIR | 0o700), **entries}
    for name, entry in sorted(every.items()):
        if "\n" in name:
            raise TalusError(f"{name!r}: a name that debugfs cannot be told of")
        quoted = name.replace('"', '""')
        at = f'set_inode_field "/{quoted}"'
        mtime_s = min(entry.mtime_s or time_s, time_s)
        times = ((field, time_s) for field in ("atime", "ctime", "crtime"))
        lines += [f"{at} {field} @{value}" for field, value in (*times, ("mtime", mtime_s))]
        lines += [f"{at} uid {entry.uid}", f"{at} gid {entry.gid}", f"{at} mode 0{entry.mode:o}"]
    return "\n".join(lines) + "\n"


def needed_mib(tree: Path) -> int:
    """Return a size that holds a folder: its blocks, the file system's own, and a tenth free."""
    total = sum(-(-path.lstat().st_size // 4096) * 4096 + 512 for path in tree.rglob("*"))
    return 4 * -(-int(total * 1.2 + 40 * MIB) // (4 * MIB))

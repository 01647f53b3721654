"""An arm64 Debian in a folder, run by qemu-user: made once and kept; what is tried uses a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MINIMAL = ("python3", "python3-numpy", "openssl", "libstdc++6")
"""What a slim package depends on, and what the first boot calls."""
BOOTS = (
    *MINIMAL, "systemd-sysv", "udev", "dbus", "kmod", "e2fsprogs", "dosfstools", "fdisk",
    "iproute2", "busybox-static",
)  # fmt: skip
"""And what boots, but for the kernel."""
_KERNEL = "var/cache/kernel"
# Fetched there, unpacked here: installed there, an emulated processor makes an initrd of it for
# a quarter of an hour.
_FETCH_KERNEL = (
    f'mkdir -p "$1/{_KERNEL}" && chroot "$1" sh -c \'cd /{_KERNEL} && apt-get download '
    '$(apt-cache depends linux-image-arm64 | sed -n "s/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p")'
    "'"
)
CPU = "cortex-a72"
"""Of a Raspberry Pi 4."""
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_TOOLS = {
    "mmdebstrap": "mmdebstrap", "qemu-aarch64-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
}  # fmt: skip
_MAKE_S, _RUN_S = 3600, 1200


def cache() -> Path:
    """Return the folder where roots are kept."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TALUS_CACHE") or home / "talus")


def lacking() -> str:
    """Make arm64 programs run here; returns why that is not possible, "" where they do."""
    if os.geteuid():
        return "needs root: mmdebstrap, chroot and mount"
    absent = sorted(package for name, package in _TOOLS.items() if shutil.which(name) is None)
    if absent:
        return f"apt install {' '.join(absent)}"
    if os.uname().machine == "aarch64":
        return ""
    if not (_BINFMT / "register").exists():
        _quietly("mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT))
    if not (_BINFMT / "qemu-aarch64").exists():
        _quietly("update-binfmts", "--enable", "qemu-aarch64")
    if not (_BINFMT / "qemu-aarch64").exists():
        return "this kernel runs no programs of other machines (binfmt_misc)"
    return ""


def _quietly(*words: str) -> None:
    subprocess.run(words, capture_output=True, check=False)


def root_of(suite: str, packages: tuple[str, ...] = MINIMAL) -> Path:
    """Return a pristine root; made where there is none yet. Raises RuntimeError."""
    kind = "boots" if packages is BOOTS else "root"
    folder = cache() / f"arm64-{suite}"
    root, wanted = folder / kind, "\n".join(packages)
    stamp = folder / f"{kind}.packages"  # written last, and gone while it is made
    if root.is_dir() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return root
    print(f"{root}: made once, some minutes", flush=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    hook = [f"--customize-hook={_FETCH_KERNEL}"] if packages is BOOTS else []
    made = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", "--architectures=arm64", *hook,
         f"--include={','.join(packages)}", suite, root, "http://deb.debian.org/debian"],
        capture_output=True, text=True, check=False, timeout=_MAKE_S,
        env={**os.environ, "QEMU_CPU": CPU},
    )  # fmt: skip
    if made.returncode:
        raise RuntimeError(f"mmdebstrap: {made.stderr.strip()[-600:]}")
    if hook:
        _unpack_kernel(root)
    stamp.write_text(wanted, encoding="utf-8")
    return root


def _unpack_kernel(root: Path) -> None:
    (deb,) = (root / _KERNEL).glob("linux-image-*.deb")
    unpack = f"dpkg-deb --fsys-tarfile {deb} | tar -x --keep-directory-symlink -C {root}"
    subprocess.run(["sh", "-c", unpack], check=True)
    deb.unlink()
    (version,) = (root / "lib/modules").iterdir()
    Debian(root).run("depmod", version.name)


class Debian:
    """A Debian in a folder, and programs of it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *words: str, path: str = "") -> str:
        """Run a program of it, return what it wrote. Raises RuntimeError with what it said."""
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "QEMU_CPU": CPU,
                   "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"}  # fmt: skip
        if path:
            environ["PYTHONPATH"] = path
        done = subprocess.run(
            ["chroot", str(self.root), *words], capture_output=True, text=True, check=False,
            env=environ, timeout=_RUN_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            said = f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}".strip()
            raise RuntimeError(f"{' '.join(words)}: ended with {done.returncode}:\n{said}")
        return done.stdout

    def install(self, deb: Path) -> None:
        """Install a package as a gateway does: without network."""
        place = self.root / "tmp" / deb.name
        shutil.copyfile(deb, place)
        self.run("dpkg", "--force-confold", "-i", f"/tmp/{deb.name}")
        place.unlink()


@contextmanager
def copy_of(root: Path) -> Iterator[Debian]:
    """Give a copy to do as one likes with; it is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="copy.") as name:
        place = Path(name) / "root"
        subprocess.run(["cp", "-a", "--reflink=auto", root, place], check=True)
        # The host's /sys tells of another machine: both runtimes crash on it.
        cpus = place / "sys/devices/system/cpu"
        cpus.mkdir(parents=True, exist_ok=True)
        for each in ("possible", "present", "online"):
            (cpus / each).write_text("0-3\n", encoding="ascii")
        subprocess.run(["mount", "-t", "proc", "proc", place / "proc"], check=True)
        try:
            yield Debian(place)
        finally:
            subprocess.run(["umount", "-l", place / "proc"], check=True)

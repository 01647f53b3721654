"""A first boot on a root of its own: dpkg and openssl for real, nothing of this PC touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from flash_site import make_deb, make_root, make_site, provision


def root_of(tmp_path: Path, deb: Path, *more: str) -> Path:
    """A root whose boot partition is a card of its own."""
    site = tmp_path / "site/site.toml"
    if not site.exists():
        make_site(tmp_path / "site")
    assert provision(site, deb, tmp_path / "card", *more) == 0
    root = make_root(tmp_path / "root", tmp_path / "card")
    assert shell(root).returncode == 0
    return root


def shell(root: Path) -> subprocess.CompletedProcess[str]:
    """What cloud-init and firstrun.sh do."""
    script = root / "boot/firmware/talus/start.sh"
    env = {**os.environ, "TALUS_ROOT": str(root)}
    return subprocess.run(["sh", script], env=env, capture_output=True, text=True, check=False)


def boot(root: Path) -> subprocess.CompletedProcess[str]:
    """What the service does."""
    program = root / "usr/local/lib/talus/talus-firstboot"
    env = {**os.environ, "TALUS_ROOT": str(root)}
    return subprocess.run(
        [sys.executable, "-I", program], env=env, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def status(root: Path) -> dict[str, tuple[str, str]]:
    text = (root / "boot/firmware/talus-status.txt").read_text()
    rows = text.split("\n\n")[1].splitlines()
    return {row[:11].strip(): (row[11:18].strip(), row[18:]) for row in rows}


def todo(root: Path) -> str:
    return (root / "boot/firmware/talus-status.txt").read_text().partition("What to do:")[2]


def a_deb(tmp_path_factory):
    """A package that stands for the real one: for a fixture, as the two below."""
    return make_deb(tmp_path_factory.mktemp("deb"))


def a_made_root(tmp_path_factory, deb):
    """The folder of a root with key and certificate on its card, as before its first boot."""
    return root_of(tmp_path_factory.mktemp("made"), deb).parent


def a_root(made, tmp_path):
    """One's own copy of that root."""
    return Path(shutil.copytree(made / "root", tmp_path / "root", symlinks=True))

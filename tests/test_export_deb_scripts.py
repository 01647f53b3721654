"""The package's scripts, run by a real dpkg in a root that borrows this machine's programs.

The root has its own /etc, /opt and /var; systemctl there is the real one, with no systemd running.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from export.package.archive import Entry, make_ar, make_tar, make_xz
from export.package.deb import text_of, unit_text

PROGRAMS = ("dpkg", "systemctl", "unshare", "useradd", "chroot")
lacking = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: chroot needs root"),
    pytest.mark.skipif(bool(lacking), reason=f"NOT TESTED: no {', '.join(lacking)} here"),
]
BORROWED = ("usr", "bin", "sbin", "lib", "lib64")
WANTS = "etc/systemd/system/multi-user.target.wants"
UNITS = ("talus.service", "talus-update.path")


def package(version: str) -> bytes:
    """A package with our scripts and units, and in place of Talus a script of two lines."""
    units = {name: text_of(name) for name in ("talus-update.service", "talus-update.path")}
    units["talus.service"] = unit_text("bookworm")
    data = {f"etc/systemd/system/{name}": Entry(text.encode()) for name, text in units.items()}
    program = f"#!/bin/sh\necho talus {version}\n".encode()
    data["opt/talus/package/bin/talus"] = Entry(program, executable=True)
    data["opt/talus/package/lib/x.py"] = Entry(b"")
    data["etc/talus/gateway.toml"] = Entry(b"# as shipped\n", mode=0o640)
    control = {
        "control": Entry(
            f"Package: talus-edge\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: nobody <nobody@example.org>\nDescription: of the tests\n".encode()
        ),
        "conffiles": Entry(b"/etc/talus/gateway.toml\n"),
    }
    for name in ("postinst", "prerm", "postrm"):
        script = text_of(name, VERSION=version, PYTHON="3")
        control[name] = Entry(script.encode(), executable=True)
    members = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", make_xz(make_tar(control, 0))),
        ("data.tar.xz", make_xz(make_tar(data, 0))),
    ]
    return make_ar(members, 0)


def empty(root: Path) -> Path:
    for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "tmp", "dev", "opt"):
        (root / name).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\ndialout:x:20:\n")
    return root


class Machine:
    """A root that other programs run in, none of which sees this machine's own files."""

    def __init__(self, root: Path) -> None:
        self.root = empty(root)
        self.tmpfs = ""

    def run(self, *words: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        mounts = ["mount --make-rprivate /"]
        for name in BORROWED:
            if Path("/", name).is_symlink():
                if not (self.root / name).is_symlink():
                    (self.root / name).symlink_to(Path("/", name).readlink())
            elif Path("/", name).is_dir():
                (self.root / name).mkdir(exist_ok=True)
                mounts.append(f"mount --rbind /{name} {self.root}/{name}")
        if self.tmpfs:
            mounts.append(f"mount -t tmpfs none {self.root}/{self.tmpfs}")
            mounts.append(f"touch {self.root}/{self.tmpfs}/kept")
        script = " && ".join([*mounts, f'exec chroot {self.root} "$@"'])
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script, "sh", *words],
            capture_output=True, text=True, check=False, env=environ, timeout=120,
        )  # fmt: skip
        if "unshare:" in done.stderr or "mount:" in done.stderr:
            pytest.skip(f"NOT TESTED: no mounts here: {done.stderr}")
        assert (done.returncode == 0) is ok, f"{words}\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, version: str = "1.0") -> None:
        (self.root / "tmp/talus.deb").write_bytes(package(version))
        self.run("dpkg", "--force-confold", "-i", "/tmp/talus.deb")

    def enabled(self) -> list[str]:
        return [name for name in UNITS if (self.root / WANTS / name).is_symlink()]


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "root")


def test_a_package_that_comes_back_is_enabled_again(machine) -> None:
    machine.install()
    assert machine.enabled() == [*UNITS]
    machine.run("dpkg", "-r", "talus-edge")
    assert machine.enabled() == []
    machine.install()  # its configuration was kept: to dpkg this is an upgrade
    assert machine.enabled() == [*UNITS]


def test_what_was_disabled_by_hand_stays_so(machine) -> None:
    machine.install()
    machine.run("systemctl", "disable", "talus.service")
    machine.install("2.0")
    assert machine.enabled() == ["talus-update.path"]
    machine.run("dpkg", "-r", "talus-edge")
    machine.install("2.0")
    assert machine.enabled() == ["talus-update.path"]
    machine.install("3.0")
    assert machine.enabled() == ["talus-update.path"]


def test_an_upgrade_goes_on_without_a_configuration_that_was_deleted(machine) -> None:
    machine.install()
    (machine.root / "etc/talus/gateway.toml").unlink()
    machine.install("2.0")
    assert (machine.root / "opt/talus/current").readlink() == Path("releases/2.0")


def test_purging_leaves_a_partition_in_its_place_and_nothing_on_it(machine) -> None:
    machine.install()
    machine.tmpfs = "var/lib/talus"  # as the data partition of an image of ours
    said = machine.run("sh", "-c", "dpkg -P talus-edge && ls -A /var/lib/talus").stdout
    assert "kept" not in said
    machine.tmpfs = ""
    for gone in ("opt/talus", "etc/talus", "var/lib/talus-update"):
        assert not (machine.root / gone).exists(), gone
    assert "talus-edge" not in machine.run("dpkg", "-l").stdout


def test_in_a_folder_the_scripts_touch_that_folder_alone(machine) -> None:
    machine.install()
    (machine.root / "var/lib/talus/outbox").write_text("alarms")
    empty(machine.root / "folder")
    dpkg = ("dpkg", "--root=/folder", "--force-script-chrootless")
    machine.run(*dpkg, "-i", "/tmp/talus.deb")
    folder = machine.root / "folder"
    (folder / "var/lib/talus").mkdir()
    machine.run(*dpkg, "-r", "talus-edge")
    assert not (folder / "opt/talus").exists()
    machine.run(*dpkg, "-P", "talus-edge")
    for gone in ("etc/talus", "var/lib/talus", "var/lib/talus-update"):
        assert not (folder / gone).exists(), gone
    # The system that dpkg was run on is as it was.
    assert machine.enabled() == [*UNITS]
    assert (machine.root / "var/lib/talus/outbox").read_text() == "alarms"
    assert machine.run("/opt/talus/current/bin/talus", "--version").stdout == "talus 1.0\n"

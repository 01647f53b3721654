"""First boots that are cut short, and a card that is written a second time."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from flash_boot import a_deb, a_made_root, a_root, boot, root_of, shell, status, todo
from flash_site import TOKEN, make_deb, make_site, need, provision

from export.broker.enrol import make_token
from export.provision.firstboot import install
from export.provision.firstboot.card import read_card
from export.provision.firstboot.install import start
from export.provision.firstboot.place import Place

pytestmark = [
    need("dpkg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: dpkg --root needs root"),
]
KEY, SIM = "talus/tls/gateway.key", "talus/network/talus-cellular.nmconnection"
TAKEN = {
    KEY: "etc/talus/tls/gateway.key",
    SIM: "etc/NetworkManager/system-connections/talus-cellular.nmconnection",
}
CUT = """
import os, sys
from pathlib import Path
program, victim, after = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
sys.path.insert(0, program)
from export.provision.firstboot.main import main
fsync, unlink, seen = os.fsync, Path.unlink, 0
def flushed(handle):
    global seen
    fsync(handle)
    seen += Path(f"/proc/self/fd/{handle}").readlink() == victim
    if seen == after:
        os.kill(os.getpid(), 9)
def removed(path, **more):
    if path == victim:
        os.kill(os.getpid(), 9)
    unlink(path, **more)
os.fsync, Path.unlink = flushed, removed
main()
"""
"""First boot as it lies there, and the power goes at one moment of the overwriting of one file."""


deb = pytest.fixture(scope="module")(a_deb)
made = pytest.fixture(scope="module")(a_made_root)
root = pytest.fixture(a_root)


@pytest.fixture
def site(made, tmp_path):
    return Path(shutil.copytree(made / "site", tmp_path / "site")) / "site.toml"


@pytest.mark.parametrize("after", [1, 2, 3], ids=["one pass", "both passes", "not removed yet"])
@pytest.mark.parametrize("name", [KEY, SIM])
def test_a_power_cut_while_a_secret_is_overwritten_loses_nothing(root, name, after) -> None:
    victim = root / "boot/firmware" / name
    before = victim.read_bytes()
    program = root / "usr/local/lib/talus/talus-firstboot"
    done = subprocess.run(
        [sys.executable, "-I", "-c", CUT, program, victim, str(after)],
        env={**os.environ, "TALUS_ROOT": str(root)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == -9, done.stderr.decode()
    assert victim.read_bytes() != before  # it was in the middle of it
    assert boot(root).returncode == 0, status(root)
    assert (root / TAKEN[name]).read_bytes() == before
    assert not victim.exists()


def test_a_power_cut_while_the_wifi_key_is_overwritten_is_made_good(root) -> None:
    path = root / "boot/firmware/network-config"
    held = path.read_bytes()
    assert boot(root).returncode == 0
    whole = path.read_bytes()
    assert len(whole) == len(held)  # in its place: no other block of the card has the key
    (root / "var/lib/talus-firstboot/done").unlink()
    path.write_bytes(whole[:64] + held[64:].replace(b"password", b"passw\0rd"))
    assert boot(root).returncode == 0
    assert path.read_bytes() == whole


def second_card(site: Path, deb: Path, root: Path, monkeypatch) -> str:
    """Provision again onto the boot partition, with another configuration and PIN."""
    config = site.parent / "gateway.toml"
    config.write_text(config.read_text() + "# of the second card\n")
    site.write_text(site.read_text().replace('pin = "1234"', 'pin = "9876"'))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert provision(site, deb, root / "boot/firmware") == 0
    return read_card(root / "boot/firmware/talus").id


@pytest.mark.parametrize("with_shell", [True, False])
def test_a_card_written_again_is_begun_again(root, site, deb, monkeypatch, with_shell) -> None:
    """By cloud-init or firstrun.sh, and without either: an image has none."""
    assert boot(root).returncode == 0
    mark = root / "var/lib/talus-firstboot/done"
    first = mark.read_text()
    number = second_card(site, deb, root, monkeypatch)
    if with_shell:
        assert shell(root).returncode == 0
        assert not mark.exists()  # what the timer looks at
    assert boot(root).returncode == 0, status(root)
    assert first != mark.read_text() == number
    assert "files proven" in status(root)["card"][1]
    assert "of the second card" in (root / "etc/talus/gateway.toml").read_text()
    assert "pin=9876" in (root / TAKEN[SIM]).read_text()
    boot_part = root / "boot/firmware"
    left = b"".join(p.read_bytes() for p in boot_part.rglob("*") if p.is_file())
    assert b"pin=9876" not in left
    assert b"password" not in left


def test_a_second_card_is_proven_as_the_first_was(root, site, deb, monkeypatch) -> None:
    assert boot(root).returncode == 0
    before = (root / "etc/talus/gateway.toml").read_bytes()
    second_card(site, deb, root, monkeypatch)
    victim = root / "boot/firmware/talus/gateway.toml"
    victim.write_bytes(victim.read_bytes().replace(b"talus", b"talvs", 1))
    assert boot(root).returncode == 1
    assert status(root)["card"][0] == "WRONG"
    assert (root / "etc/talus/gateway.toml").read_bytes() == before


def test_what_is_done_costs_nothing_at_the_next_boots(root) -> None:
    assert boot(root).returncode == 0
    before = {p: p.lstat().st_mtime_ns for p in root.rglob("*")}
    assert shell(root).returncode == boot(root).returncode == 0
    assert {p: p.lstat().st_mtime_ns for p in root.rglob("*")} == before


def test_a_package_from_afar_is_not_undone_while_something_waits(tmp_path, deb) -> None:
    make_site(tmp_path / "site")
    make_token(tmp_path / "site/broker", "gw1", 1, 14, 4e9)
    make_site(tmp_path / "site", TOKEN)
    root = root_of(tmp_path, deb)
    assert boot(root).returncode == 1  # nobody listens at port 1
    assert re.fullmatch(r"can be right: \d{4}-\d\d-\d\d", status(root)["clock"][1])  # no minutes:
    newer = make_deb(tmp_path, version="1.2.4")  # else the card is written every time
    subprocess.run(["dpkg", f"--root={root}", "-i", newer], check=True, capture_output=True)
    assert boot(root).returncode == 1
    assert status(root)["package"] == ("ok", "talus-edge 1.2.4 is installed")


def test_cloud_init_comes_back_to_it_at_every_boot(root) -> None:
    """runcmd is marked as run before it runs: what the power kept it from, bootcmd does."""
    for name in ("usr", "etc/systemd"):
        shutil.rmtree(root / name)
    text = (root / "boot/firmware/user-data").read_text()
    rows = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    [words] = json.loads(rows["bootcmd"])
    assert words[-1].endswith("start.sh later")
    words = [word.replace("/boot/", f"{root}/boot/") for word in words]
    subprocess.run(words, env={**os.environ, "TALUS_ROOT": str(root)}, check=True)
    wants = root / "etc/systemd/system/multi-user.target.wants/talus-firstboot.service"
    assert (wants.parent / wants.readlink()).is_file()
    assert boot(root).returncode == 0


def test_a_service_that_ran_with_what_was_there_before_is_restarted(monkeypatch) -> None:
    said = []
    monkeypatch.setattr(Place, "has_systemd", property(lambda place: True))
    monkeypatch.setattr(install, "command", lambda *words: said.append(words[1:]))
    for anew in (True, False):
        start(Place(Path("/"), Path("/boot")), anew=anew)
    enable = ("enable", "talus.service")
    assert said == [enable, ("restart", "talus.service"), enable, ("start", "talus.service")]


def test_nothing_goes_under_a_data_partition_that_is_not_mounted(root) -> None:
    fstab = root / "etc/fstab"
    fstab.write_text(
        "LABEL=rootfs / ext4 defaults 0 1\nLABEL=talus-data /var/lib/talus ext4 x 0 2\n"
    )
    assert boot(root).returncode == 1
    assert status(root)["data"][0] == "WRONG"
    assert not (root / "opt/talus").exists()
    assert not (root / "etc/talus").exists()
    mount = ["mount", "-t", "tmpfs", "talus", root / "var/lib/talus"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        fstab.write_text("LABEL=rootfs / ext4 defaults 0 1\n")
        assert boot(root).returncode == 0
        pytest.skip("NOT TESTED: nothing can be mounted here: a data partition that is there")
    try:
        assert boot(root).returncode == 0, status(root)
    finally:
        subprocess.run(["umount", root / "var/lib/talus"], check=True)


def test_a_file_that_is_called_after_a_clock_is_no_lock(tmp_path, deb) -> None:
    other = tmp_path / "other"
    (other / "DEBIAN").mkdir(parents=True)
    (other / "opt/talus/releases/1.2.3/lib").mkdir(parents=True)
    (other / "opt/talus/releases/1.2.3/lib/wall_clock.py").write_text("x")
    (other / "DEBIAN/control").write_text(
        "Package: other\nVersion: 1\nArchitecture: all\n"
        "Maintainer: x <x@example.org>\nDescription: x\n"
    )
    subprocess.run(["dpkg-deb", "-b", other, tmp_path / "other.deb"], check=True)
    twice = tmp_path / "twice"
    shutil.copytree(other, twice)
    (twice / "DEBIAN/control").write_text(
        (other / "DEBIAN/control").read_text().replace("Package: other", "Package: twice")
    )
    subprocess.run(["dpkg-deb", "-b", twice, tmp_path / "twice.deb"], check=True)
    more = ["--deb", str(tmp_path / "other.deb"), "--deb", str(tmp_path / "twice.deb")]
    root = root_of(tmp_path, deb, *more)
    assert boot(root).returncode == 1
    assert status(root)["package"][0] == "WRONG"
    assert "wait" not in todo(root)

"""talus-firstboot, run for real: dpkg and openssl on a root of its own, the card as provisioned."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from flash_boot import a_deb, a_made_root, a_root, boot, root_of, shell, status, todo
from flash_site import BUNDLE, make_deb, make_root, need

from edge.config import load_config
from edge.mqtt_tls import tls_context
from export.image.tools import missing, run

pytestmark = [
    need("dpkg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: dpkg --root needs root"),
]


deb = pytest.fixture(scope="module")(a_deb)
made = pytest.fixture(scope="module")(a_made_root)
root = pytest.fixture(a_root)


def edit_manifest(root: Path, **values: object) -> None:
    path = root / "boot/firmware/talus/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_from_a_card_to_a_gateway_that_is_set_up(root, made) -> None:
    done = boot(root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "opt/talus/current/lib/README").read_text() == "1.2.3"
    etc = root / "etc/talus"
    assert (etc / "gateway.toml").read_bytes() == (made / "site/gateway.toml").read_bytes()
    for path in BUNDLE.rglob("*"):
        if path.is_file():
            assert (etc / "bundle" / path.relative_to(BUNDLE)).read_bytes() == path.read_bytes()
    key = made / "site/broker/gateways/gw1/gateway.key"
    assert (etc / "tls/gateway.key").read_bytes() == key.read_bytes()
    config = load_config(etc / "gateway.toml")
    assert tls_context(config.mqtt.brokers[0], config.folder) is not None  # as the gateway opens it
    rows = status(root)
    assert {state for state, _ in rows.values()} == {"ok"}
    assert rows["package"][1] == "talus-edge 1.2.3 installed"
    assert "nothing" in todo(root)
    assert (root / "var/lib/talus-firstboot/done").exists()


def test_each_file_is_for_whom_it_is(root) -> None:
    assert boot(root).returncode == 0
    found = {}
    for name in ("gateway.toml", "bundle/manifest.json", "tls/gateway.key", "tls/gateway.crt"):
        state = (root / "etc/talus" / name).stat()
        found[name] = (state.st_uid, state.st_gid, oct(stat.S_IMODE(state.st_mode)))
    assert found == {
        "gateway.toml": (0, 4712, "0o640"),
        "bundle/manifest.json": (0, 4712, "0o640"),
        "tls/gateway.key": (4711, 4712, "0o600"),
        "tls/gateway.crt": (4711, 4712, "0o644"),
    }
    folder = (root / "etc/talus/bundle").stat()
    assert (folder.st_gid, oct(stat.S_IMODE(folder.st_mode))) == (4712, "0o750")
    network = root / "etc/NetworkManager/system-connections/talus-cellular.nmconnection"
    assert oct(stat.S_IMODE(network.stat().st_mode)) == "0o600"


def test_no_secret_stays_on_the_boot_partition(root) -> None:
    boot_part = root / "boot/firmware"
    key = (boot_part / "talus/tls/gateway.key").read_bytes().splitlines()[1]
    wifi = (boot_part / "network-config").read_text().partition("password: ")[2].split('"')[1]
    wanted = [key, wifi.encode(), b"pin=1234"]
    before = b"".join(p.read_bytes() for p in boot_part.rglob("*") if p.is_file())
    assert all(each in before for each in wanted)
    assert boot(root).returncode == 0
    after = b"".join(p.read_bytes() for p in boot_part.rglob("*") if p.is_file())
    assert not any(each in after for each in wanted)


def test_again_changes_nothing(root) -> None:
    assert boot(root).returncode == 0
    tuned = root / "etc/talus/gateway.toml"
    tuned.write_text(tuned.read_text() + "# tuned from afar\n")
    (root / "etc/talus/tls/gateway.crt").write_text("renewed from afar")
    (root / "var/lib/talus-firstboot/done").unlink()  # as if the power had gone just before it
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    done = boot(root)
    assert done.returncode == 0
    assert "tuned from afar" in tuned.read_text()
    after = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    changed = {str(p.relative_to(root)) for p in after if after[p] != before.get(p)}
    assert changed <= {"var/lib/talus-firstboot/lock", "var/lib/talus-firstboot/done",
                       "boot/firmware/talus-status.txt"}  # fmt: skip
    assert status(root)["settings"] == ("ok", "in place since the first boot")


@pytest.mark.parametrize("victim", [
    "deb/talus_1.2.3_all.deb", "gateway.toml", "bundle/0/gru.int8.tflite", "tls/ca.crt",
])  # fmt: skip
def test_a_damaged_file_is_named_and_nothing_installed(root, victim) -> None:
    path = root / "boot/firmware/talus" / victim
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert boot(root).returncode == 1
    state, text = status(root)["card"]
    assert (state, victim in text) == ("WRONG", True)
    assert "write the card again" in todo(root)
    assert not (root / "opt/talus").exists()
    assert not (root / "etc/talus").exists()


def test_a_damaged_first_boot_program_is_not_run(root) -> None:
    shutil.rmtree(root / "usr")
    program = root / "boot/firmware/talus/talus-firstboot"
    program.write_bytes(program.read_bytes()[:-1])
    assert shell(root).returncode == 1
    assert "write the card again" in (root / "boot/firmware/talus-status.txt").read_text()
    assert not (root / "usr").exists()


@pytest.mark.parametrize("text", [
    b"", b"{}", b"[]", b"nonsense", b'{"format":2}', b"[" * 100_000, b"\xff" * 64,
], ids=len)  # fmt: skip
def test_a_manifest_that_cannot_be_read_is_said(root, text) -> None:
    (root / "boot/firmware/talus/manifest.json").write_bytes(text)
    assert boot(root).returncode == 1
    assert status(root)["card"][0] == "WRONG"
    assert not (root / "opt/talus").exists()


@pytest.mark.parametrize("to", ["/etc/shadow", "/etc/talus/../shadow", "etc/talus/x", "/"])
def test_a_card_writes_nowhere_else(root, to) -> None:
    edit_manifest(root, copies=[{"from": "gateway.toml", "to": to, "mode": 0o644}])
    before = {p for p in root.rglob("*") if "opt" not in p.parts}
    assert boot(root).returncode == 1
    assert status(root)["settings"][0] == "WRONG"
    new = {str(p.relative_to(root)) for p in root.rglob("*") if p not in before}
    assert not any(name.startswith(("etc/shadow", "etc/talus")) for name in new)


def test_what_the_package_lacks_is_said_in_words(tmp_path) -> None:
    deb = make_deb(tmp_path, version="2.0.0", depends="python3-numpy (>= 1.20)")
    root = root_of(tmp_path, deb)
    assert boot(root).returncode == 1
    assert status(root)["package"][0] == "WRONG"
    assert "--suite" in todo(root)
    assert "service" not in status(root)


def test_more_packages_are_installed_with_it(tmp_path) -> None:
    other = tmp_path / "numpy"
    (other / "DEBIAN").mkdir(parents=True)
    (other / "DEBIAN/control").write_text(
        "Package: python3-numpy\nVersion: 1.24\nArchitecture: all\n"
        "Maintainer: x <x@example.org>\nDescription: x\n"
    )
    subprocess.run(["dpkg-deb", "-b", other, tmp_path / "numpy.deb"], check=True)
    deb = make_deb(tmp_path, version="2.0.0", depends="python3-numpy (>= 1.20)")
    root = root_of(tmp_path, deb, "--deb", str(tmp_path / "numpy.deb"))
    assert boot(root).returncode == 0, status(root)


def test_dpkg_that_is_busy_is_waited_for(root) -> None:
    """The OS installs something of its own at its first boot: its lock is real here too."""
    code = ("import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX);"
            "print(flush=True); sys.stdin.read()")  # fmt: skip
    lock = root / "var/lib/dpkg/lock"
    with subprocess.Popen(
        [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        assert boot(root).returncode == 1
        assert "wait" in todo(root)
        assert "tried again by itself" in todo(root)
        other.stdin.close()
    assert boot(root).returncode == 0


def test_stopped_anywhere_it_comes_to_the_same(root, made) -> None:
    """Power cut: killed at times that grow, until a run gets through."""
    program = root / "usr/local/lib/talus/talus-firstboot"
    env = {**os.environ, "TALUS_ROOT": str(root)}
    cuts = 0
    for n in range(200):
        child = subprocess.Popen(
            [sys.executable, "-I", program], env=env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            child.wait(timeout=0.04 * (n + 1))
            break
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.wait()
            cuts += 1
    assert cuts >= 1
    assert boot(root).returncode == 0, status(root)
    assert {state for state, _ in status(root).values()} == {"ok"}
    key = made / "site/broker/gateways/gw1/gateway.key"
    assert (root / "etc/talus/tls/gateway.key").read_bytes() == key.read_bytes()
    assert not (root / "boot/firmware/talus/tls/gateway.key").exists()
    assert not list((root / "etc/talus").rglob(".*.new"))


def test_a_secret_is_overwritten_where_it_lay(root) -> None:
    """Another name of the same file shows what became of its bytes."""
    talus = root / "boot/firmware/talus"
    names = ("tls/gateway.key", "network/talus-cellular.nmconnection")
    for i, name in enumerate(names):
        os.link(talus / name, root / f"tmp/{i}")
    assert boot(root).returncode == 0
    assert not any((talus / name).exists() for name in names)
    assert all(set((root / f"tmp/{i}").read_bytes()) == {0} for i in range(len(names)))


def test_on_a_real_fat_partition(root, tmp_path) -> None:
    """FAT refuses owners and modes; it is mounted as the image's fstab says."""
    fat, place = tmp_path / "fat", root / "boot/firmware"
    if missing("mkfs.vfat"):
        pytest.skip("NOT TESTED: apt install dosfstools: first boot on a FAT partition")
    run(["mkfs.vfat", "-F", "32", "-C", fat, "65536"])
    (root / "tmp/card").mkdir()
    mount = ["mount", "-o", "loop,flush,umask=0077", fat, root / "tmp/card"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: this kernel mounts no vfat: first boot on a FAT partition")
    try:
        shutil.copytree(place, root / "tmp/card", dirs_exist_ok=True, copy_function=shutil.copyfile)
        shutil.rmtree(place)
        place.symlink_to(root / "tmp/card")
        done = boot(root)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {state for state, _ in status(root).values()} == {"ok"}
        assert not (place / "talus/tls/gateway.key").exists()
        assert "password" not in (place / "network-config").read_text()
    finally:
        subprocess.run(["umount", root / "tmp/card"], check=True)


def test_without_a_card_it_says_so(tmp_path, deb) -> None:
    from export.provision.firstboot_app import firstboot_app

    root = make_root(tmp_path / "root")
    program = root / "usr/local/lib/talus/talus-firstboot"
    program.parent.mkdir(parents=True)
    program.write_bytes(firstboot_app())
    done = boot(root)
    assert done.returncode == 1
    assert "write the card again" in done.stderr or "no folder talus/" in done.stderr

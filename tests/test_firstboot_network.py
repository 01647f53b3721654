"""Networks at the first boot: handed to the system, and off the card; or said to be missing."""

from __future__ import annotations

import os
import shutil

import pytest
from flash_boot import a_deb, a_made_root, a_root, boot, root_of, status
from flash_site import TLS, make_site, need

pytestmark = [
    need("dpkg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: dpkg --root needs root"),
]


deb = pytest.fixture(scope="module")(a_deb)
made = pytest.fixture(scope="module")(a_made_root)
root = pytest.fixture(a_root)


def test_the_wifi_key_stays_until_the_system_has_it(tmp_path, deb) -> None:
    site = make_site(tmp_path / "site")
    text = site.read_text().replace('[network.cellular]\napn = "internet"\npin = "1234"\n', "")
    site.write_text(text)
    root = root_of(tmp_path, deb)
    assert boot(root).returncode == 1
    assert status(root)["secrets"][0] == "WAITS"
    assert "password" in (root / "boot/firmware/network-config").read_text()
    (root / "etc/netplan").mkdir()
    (root / "etc/netplan/50-cloud-init.yaml").write_text("network: {}")
    assert boot(root).returncode == 0
    assert "password" not in (root / "boot/firmware/network-config").read_text()


def test_a_root_with_a_cable_and_no_more_needs_no_networkmanager(tmp_path, deb) -> None:
    site = make_site(tmp_path / "site")
    before, _, after = site.read_text().partition("[network.wifi]")
    site.write_text(before + "[broker]" + after.partition("[broker]")[2])
    root = root_of(tmp_path, deb)
    shutil.rmtree(root / "etc/NetworkManager")
    assert boot(root).returncode == 0, status(root)
    assert status(root)["network"] == ("ok", "as the system has it")


def test_a_sim_without_networkmanager_is_said_and_the_pin_kept(root) -> None:
    shutil.rmtree(root / "etc/NetworkManager")
    assert boot(root).returncode == 1
    rows = status(root)
    assert rows["network"][0] == "WRONG"
    assert rows["service"][0] == "ok"
    wire = root / "boot/firmware/talus/network/talus-cellular.nmconnection"
    assert "pin=1234" in wire.read_text()


def test_a_plain_broker_needs_no_tls(tmp_path, deb) -> None:
    site = make_site(tmp_path / "site")
    site.write_text(site.read_text().partition("[broker]")[0])
    config = tmp_path / "site/gateway.toml"
    config.write_text(config.read_text().replace(TLS, ""))
    root = root_of(tmp_path, deb)
    assert boot(root).returncode == 0
    assert not (root / "etc/talus/tls").exists()

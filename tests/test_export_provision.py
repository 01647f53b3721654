"""``talus-export provision``: the folder of a card, and what is refused before it is written."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from flash_site import BUNDLE, MADE, TOKEN, make_deb, make_site, need, provision

from edge.errors import ConfigError
from export.broker.enrol import make_token
from export.provision.firstboot.card import prove, read_card
from export.provision.firstboot_app import firstboot_app
from export.provision.site import example_text, load_site

pytestmark = need("dpkg")


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    return make_deb(tmp_path_factory.mktemp("deb"), paho=False)


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path / "site")


def secrets_of(site: Path) -> dict[str, bytes]:
    key = (site.parent / "broker/gateways/gw1/gateway.key").read_bytes().splitlines()[1]
    return {"wifi": b"correct horse", "pin": b"1234\n", "key": key}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_every_file_of_a_card_is_proven_but_the_secrets(site, deb, tmp_path) -> None:
    assert provision(site, deb, tmp_path / "card") == 0
    talus = tmp_path / "card" / "talus"
    card = read_card(talus)
    assert prove(talus, card) == len(card.files)
    secret = {"tls/gateway.key", "network/talus-cellular.nmconnection"}
    assert set(files(talus)) == {*card.files, *secret, "manifest.json"}
    assert {stat.S_IMODE((talus / name).stat().st_mode) for name in secret} == {0o600}
    assert (card.gateway, card.package, card.version) == ("gw1", "talus-edge", "1.2.3")
    bundle = {f"bundle/0/{name}" for name in files(BUNDLE)}
    assert bundle <= set(card.files)
    to = {each.target for each in card.copies}
    assert to == {"/etc/talus/gateway.toml", "/etc/talus/bundle"}


@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_a_secret_stands_in_the_one_place_that_first_boot_scrubs(
    site, deb, tmp_path, suite
) -> None:
    assert provision(site, deb, tmp_path / "card", "--suite", suite) == 0
    written = files(tmp_path / "card")
    cell = "talus/network/talus-cellular.nmconnection"
    assert [n for n, c in written.items() if secrets_of(site)["key"] in c] == [
        "talus/tls/gateway.key"
    ]
    assert [n for n, c in written.items() if b"pin=1234" in c] == [cell]
    assert not [n for n, c in written.items() if secrets_of(site)["wifi"] in c]  # only its key
    ca_key = (site.parent / "broker/authority/ca.key").read_bytes().splitlines()[1]
    assert not [n for n, c in written.items() if ca_key in c]


def test_a_token_is_on_the_card_and_no_key_is(tmp_path, deb) -> None:
    site = make_site(tmp_path / "site", MADE)
    make_token(site.parent / "broker", "gw1", 0, 14, 1.8e9 + 10**9)
    make_site(site.parent, TOKEN)
    assert provision(site, deb, tmp_path / "card") == 0
    talus = tmp_path / "card" / "talus"
    assert not (talus / "tls/gateway.key").exists()
    token = json.loads((talus / "enrol.json").read_text())["token"].encode()
    broker = files(site.parent / "broker")
    assert [n for n, c in broker.items() if token in c] == ["enrol/gw1.json"]  # nor does the CA
    assert [n for n, c in files(talus).items() if token in c] == ["enrol.json"]


def test_trixie_reads_valid_cloud_init(site, deb, tmp_path) -> None:
    assert provision(site, deb, tmp_path / "card") == 0
    card = tmp_path / "card"
    if shutil.which("cloud-init") is None:
        pytest.skip("NOT TESTED: apt install cloud-init: user-data against its own schema")
    done = subprocess.run(
        ["cloud-init", "schema", "-c", card / "user-data"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


YAML = """
import json, sys, yaml
print(json.dumps([yaml.safe_load(open(path)) for path in sys.argv[1:]]))
"""


def yaml_of(*paths: Path) -> list[dict]:
    """Read by the Python of the system, where cloud-init brings PyYAML."""
    done = subprocess.run(["/usr/bin/python3", "-c", YAML, *paths], capture_output=True,
                          text=True, check=False)  # fmt: skip
    if done.returncode:
        pytest.skip("NOT TESTED: apt install python3-yaml: user-data read as YAML")
    return json.loads(done.stdout)


def test_trixie_is_told_user_network_and_what_to_run(site, deb, tmp_path) -> None:
    assert provision(site, deb, tmp_path / "card") == 0
    card = tmp_path / "card"
    user, meta, net = yaml_of(card / "user-data", card / "meta-data", card / "network-config")
    assert user["hostname"] == meta["local-hostname"] == "gw1"
    assert user["users"][0]["lock_passwd"] is True
    assert user["users"][0]["ssh_authorized_keys"][0].startswith("ssh-ed25519 AAAA")
    assert user["timezone"] == "Europe/Oslo"
    assert "/boot/firmware/talus/start.sh" in user["runcmd"][-1][-1]
    wifi = net["network"]["wifis"]["wlan0"]
    assert wifi["regulatory-domain"] == "NO"  # a text: YAML takes a bare NO for false
    # IEEE 802.11i, annex H.4: the vector of a network that is called IEEE would do as well
    assert len(bytes.fromhex(wifi["access-points"]["slope"]["password"])) == 32
    assert net["network"]["ethernets"]["eth0"] == {"optional": True, "dhcp4": True}


def test_the_wifi_key_is_as_in_the_standard(tmp_path) -> None:
    text = make_site(tmp_path).read_text()
    text = text.replace('"slope"', '"IEEE"').replace("correct horse", "password")
    (tmp_path / "site.toml").write_text(text)
    from export.provision.network import wifi_key

    wanted = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert wifi_key(load_site(tmp_path / "site.toml")) == wanted  # IEEE 802.11i, H.4.1


def test_each_card_is_an_instance_of_its_own(site, deb, tmp_path, monkeypatch) -> None:
    ids = set()
    for time_s in ("1800000000", "1800000001"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", time_s)
        assert provision(site, deb, tmp_path / "card") == 0  # over the one before
        ids.add((tmp_path / "card/meta-data").read_text())
    assert len(ids) == 2


def test_two_cards_of_one_time_that_differ_in_secrets_alone_are_two(
    site, deb, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    text = site.read_text()
    ids = set()
    for change in (("", ""), ("correct horse", "correct house"), ("Europe/Oslo", "Europe/Rome"),
                   ("ssh-ed25519 AAAA", "ssh-ed25519 AAAB")):  # fmt: skip
        assert change[0] in text
        site.write_text(text.replace(*change) if change[0] else text)
        for suite in ("trixie", "bookworm"):
            card = tmp_path / f"{len(ids)}"
            assert provision(site, deb, card, "--suite", suite) == 0
            ids.add(read_card(card / "talus").id)
            if suite == "trixie":
                ids.add((card / "meta-data").read_text())
    assert len(ids) == 4 * 3
    assert provision(site, deb, tmp_path / "again", "--suite", "bookworm") == 0
    assert read_card(tmp_path / "again/talus").id in ids


def test_the_same_site_gives_the_same_bytes(site, deb, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    assert provision(site, deb, tmp_path / "one") == provision(site, deb, tmp_path / "two") == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_bookworm_runs_a_script_that_a_shell_takes(site, deb, tmp_path) -> None:
    card = tmp_path / "card"
    card.mkdir()
    line = "console=tty1 root=PARTUUID=1-02 rootwait"
    (card / "cmdline.txt").write_text(line + "\n")
    for _ in range(2):  # writing it again does not hook it twice
        assert provision(site, deb, card, "--suite", "bookworm") == 0
    hooked = (card / "cmdline.txt").read_text()
    assert hooked.count("\n") == 1
    assert hooked.startswith(line)
    assert hooked.count("systemd.run=/boot/firmware/firstrun.sh") == 1
    for script in ("firstrun.sh", "talus/start.sh"):
        assert subprocess.run(["sh", "-n", card / script], check=False).returncode == 0
    found = files(card / "talus/network")
    assert b"ssid=slope" in found["talus-wifi.nmconnection"]


def test_firstboot_is_python_alone(tmp_path) -> None:
    """It runs on a bare OS: nothing but the standard library, and the same bytes each time."""
    path = tmp_path / "talus-firstboot"
    path.write_bytes(firstboot_app())
    assert firstboot_app() == path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    code = (
        "import runpy, sys\n"
        "try: runpy.run_path(sys.argv[1], run_name='__main__')\n"
        "except SystemExit: pass\n"
        "known = set(sys.stdlib_module_names) | {'export', '__main__', '__mp_main__'}\n"
        "print([m for m in sys.modules if m.partition('.')[0] not in known])\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, path], capture_output=True, text=True, check=True,
        env={"TALUS_ROOT": str(tmp_path / "nothing")},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert "write the card again" not in done.stdout


def test_the_example_is_a_site_but_for_its_files(tmp_path) -> None:
    values = tomllib.loads(example_text())
    assert values["gateway"]["name"] == "gw1"
    (tmp_path / "site.toml").write_text(example_text())
    with pytest.raises(ConfigError) as error:
        load_site(tmp_path / "site.toml")
    assert all("there is no such file" in each for each in error.value.mistakes)
    paths = [each.partition(":")[0] for each in error.value.mistakes]
    assert paths == ["gateway.config", "broker.ca", "broker.token"]


def test_every_line_of_the_example_that_is_commented_out_holds_too(tmp_path) -> None:
    lines = []
    for line in example_text().splitlines():
        bare = line.removeprefix("# ")
        is_value = bare.startswith("[network") or ("=" in bare and bare != line)
        lines.append(bare if is_value and "broker/gateways" not in bare else line)
    text = "\n".join(lines)
    assert "\n[network.cellular]" in text
    assert "\naddress = " in text
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_site(tmp_path / "site.toml")
    assert all("there is no such file" in each for each in error.value.mistakes)

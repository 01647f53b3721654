"""What ``talus-export provision`` refuses at the desk, named with its path; nothing is written."""

from __future__ import annotations

import base64
import shutil
import tomllib
from pathlib import Path

import pytest
from flash_site import BUNDLE, TLS, TOKEN, make_deb, make_site, need, provision

from edge.errors import TalusError
from export.__main__ import main
from export.broker.enrol import make_token
from export.provision.deb import read_deb

pytestmark = need("dpkg")


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    return make_deb(tmp_path_factory.mktemp("deb"), paho=False)


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path / "site")


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def edited(site: Path, before: str, after: str, name: str = "site.toml") -> None:
    path = site.parent / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


@pytest.mark.parametrize(("before", "after", "said"), [
    ('country = "NO"', "", "gateway.country: missing"),
    ('country = "NO"', 'country = "no"', "gateway.country"),
    ('name = "gw1"', 'name = "gw/1"', "gateway.name"),
    ('name = "gw1"', 'nam = "gw1"', "gateway.nam:"),
    ("gateway.toml", "other.toml", "gateway.config"),
    ("Europe/Oslo", "Oslo'; reboot", "gateway.timezone"),
    ("ssh-ed25519 ", "-----BEGIN OPENSSH PRIVATE KEY-----", "login.ssh_keys[0]"),
    (' me"', '\\nevil"', "login.ssh_keys[0]"),
    ("[network.ethernet]", '[network.ethernet]\naddress = "10.0.0.7"', "network.ethernet.address"),
    ("[network.ethernet]", '[network.ethernet]\nrouter = "10.0.0.1"', "network.ethernet.address"),
    ("[network.ethernet]", '[network.ethernet]\naddress = "10.0.0.7/24"\nrouter = "10.9.0.1"',
     "network.ethernet.router"),
    ("correct horse", "short", "network.wifi.password"),
    ('ssid = "slope"', 'ssid = "a\\nb"', "network.wifi.ssid"),
    ('apn = "internet"', 'apn = "a b"', "network.cellular.apn"),
    ('pin = "1234"', "pin = 1234", "network.cellular.pin"),
    ('pin = "1234"', 'pin = "1234\\n[x]"', "network.cellular.pin"),
    ("ca.crt", "none.crt", "broker.ca"),
    ('key = "', 'kye = "', "broker.kye"),
    ("[network.wifi]", "[network.wlan]", "network.wlan"),
    ("[login]", '[login]\nuser = "root"', "login.user"),
    ("[login]", "[login", "file: not TOML"),
])  # fmt: skip
def test_a_mistake_in_site_toml_is_named_and_nothing_written(
    site, deb, tmp_path, capsys, before, after, said
) -> None:
    edited(site, before, after)
    assert provision(site, deb, tmp_path / "card") == 1
    assert f"site.toml: {said}" in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize(("before", "after", "said"), [
    ('name = "gw1"', 'name = "gw2"', "gateway.name: 'gw2', but site.toml is of 'gw1'"),
    ("/var/lib/talus", "data", "gateway.data_dir"),
    (TLS, "", "mqtt.ca_file: missing"),
    ("tls/ca.crt", "../ca.crt", "mqtt.ca_file"),
    ("tls/gateway.key", "/root/gateway.key", "mqtt.key_file"),
    ('bundle = "bundle"', 'bundle = "/srv/bundle"', "station[0].bundle"),
    ('unit = "mm"', 'unit = "ells"', "station[0].channel[0].unit"),
])  # fmt: skip
def test_a_configuration_that_does_not_fit_is_named_at_the_desk(
    site, deb, tmp_path, capsys, before, after, said
) -> None:
    edited(site, before, after, "gateway.toml")
    assert provision(site, deb, tmp_path / "card") == 1
    assert f"gateway.toml: {said}" in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize(("fields", "suite", "said"), [
    ({"arch": "amd64"}, "trixie", "is for amd64, and gateway.arch says arm64"),
    ({"arch": "arm64", "depends": "python3 (>= 3.11), python3 (<< 3.12)"}, "trixie",
     "is for Python 3.11, trixie has 3.13"),
    ({"arch": "arm64", "depends": "python3 (>= 3.13), python3 (<< 3.14)"}, "bookworm",
     "is for Python 3.13, bookworm has 3.11"),
])  # fmt: skip
def test_a_package_for_another_gateway_is_refused(
    site, tmp_path, capsys, fields, suite, said
) -> None:
    deb = make_deb(tmp_path, paho=False, **fields)
    assert provision(site, deb, tmp_path / "card", "--suite", suite) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


def test_the_package_of_that_suite_is_taken(site, tmp_path) -> None:
    for suite, low, high in (("bookworm", "3.11", "3.12"), ("trixie", "3.13", "3.14")):
        depends = f"python3 (>= {low}), python3 (<< {high}), python3-numpy"
        deb = make_deb(tmp_path, version=low, arch="arm64", depends=depends, paho=False)
        assert provision(site, deb, tmp_path / suite, "--suite", suite) == 0


def test_a_package_cut_short_is_refused_wherever_it_was_cut(deb, tmp_path) -> None:
    whole = deb.read_bytes()
    assert read_deb(deb).version == "1.2.3"
    for end in {0, 4, 8, 20, 67, 70, 100, 200, len(whole) // 2, len(whole) - 3}:
        (tmp_path / "cut.deb").write_bytes(whole[:end])
        with pytest.raises(TalusError, match="cut.deb"):
            read_deb(tmp_path / "cut.deb")


def test_a_tampered_bundle_does_not_reach_a_card(site, deb, tmp_path, capsys) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(BUNDLE, bundle)
    victim = bundle / "gru.float32.tflite"
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.write_bytes(content)
    words = ["--site", str(site), "--deb", str(deb), "--out", str(tmp_path / "card")]
    assert main(["provision", *words, "--bundle", str(bundle)]) == 1
    assert "gru.float32.tflite" in capsys.readouterr().err
    assert main(["provision", *words]) == 1
    assert "--bundle slope=FOLDER is missing" in capsys.readouterr().err
    assert main(["provision", *words, "--bundle", f"wall={BUNDLE}"]) == 1
    assert "no such station" in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


def test_credentials_of_another_gateway_or_ca_are_refused(site, deb, tmp_path, capsys) -> None:
    broker = site.parent / "broker"
    main(["broker", "--out", str(broker), "--renew", "--gateway", "gw2"])
    edited(site, "gateways/gw1/gateway.key", "gateways/gw2/gateway.key")
    assert provision(site, deb, tmp_path / "card") == 1
    assert "not the key of" in capsys.readouterr().err
    edited(site, "gateways/gw1/gateway.crt", "gateways/gw2/gateway.crt")
    assert provision(site, deb, tmp_path / "card") == 1
    assert "is not the certificate of 'gw1'" in capsys.readouterr().err
    words = ["--out", str(tmp_path / "other"), "--host", "a", "--gateway", "gw1"]
    assert main(["broker", *words]) == 0
    make_site(site.parent)
    shutil.copy(tmp_path / "other/authority/ca.crt", broker / "authority/ca.crt")
    assert provision(site, deb, tmp_path / "card") == 1
    assert "was not signed by" in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


def test_an_expired_token_and_one_of_another_are_refused(tmp_path, deb, capsys) -> None:
    site = make_site(tmp_path / "site")
    broker = site.parent / "broker"
    make_token(broker, "gw1", 0, 1, 1e9)
    make_site(site.parent, TOKEN)
    assert provision(site, deb, tmp_path / "card") == 1
    assert "the token has expired" in capsys.readouterr().err
    make_token(broker, "gw2", 0, 1, 4e9)
    shutil.copy(broker / "enrol/gw2.json", broker / "enrol/gw1.json")
    assert provision(site, deb, tmp_path / "card") == 1
    assert "is for 'gw2'" in capsys.readouterr().err
    (broker / "enrol/gw1.json").write_bytes(base64.b64encode(b"nothing"))
    assert provision(site, deb, tmp_path / "card") == 1
    assert "talus-export enrol --token gw1" in capsys.readouterr().err


def test_what_is_not_ours_is_left_alone(site, deb, tmp_path, capsys) -> None:
    (tmp_path / "card/talus").mkdir(parents=True)
    (tmp_path / "card/talus/thesis.txt").write_text("all I have")
    assert provision(site, deb, tmp_path / "card") == 1
    assert "was not written by this command" in capsys.readouterr().err
    assert files(tmp_path / "card") == {"talus/thesis.txt": b"all I have"}


def test_what_is_missing_is_asked_for(tmp_path, capsys) -> None:
    assert main(["provision"]) == 1
    assert "--example" in capsys.readouterr().err
    assert main(["provision", "--example"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["gateway"]
    words = ["provision", "--site", "a", "--out", str(tmp_path), "--device", "/dev/null"]
    assert main(words) == 1
    assert "which OS?" in capsys.readouterr().err
    assert main(["provision", "--site", str(tmp_path / "no.toml"), "--out", str(tmp_path)]) == 1
    assert "--example prints one" in capsys.readouterr().err

"""Keys, certificates and clocks at the first boot; what keeps a gateway from its broker."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from flash_boot import boot, root_of, status, todo
from flash_site import TOKEN, make_deb, make_site, need

from edge.config import load_config
from edge.mqtt_tls import tls_context
from export.broker.authority import Authority, Pair
from export.broker.enrol import make_token
from export.provision.firstboot.card import read_card
from export.provision.firstboot.identity import enrol
from export.provision.firstboot.place import Place, StepError

pytestmark = [
    need("dpkg"),
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: dpkg --root needs root"),
]


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    return make_deb(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, deb):
    """A root with key and certificate on its card, as it is before its first boot."""
    return root_of(tmp_path_factory.mktemp("made"), deb).parent


@pytest.fixture(scope="module")
def asked(tmp_path_factory, deb):
    """A root with a token on its card, for a broker at a port where nobody listens."""
    folder = tmp_path_factory.mktemp("asked")
    make_site(folder / "site")
    make_token(folder / "site/broker", "gw1", 1, 14, 4e9)
    make_site(folder / "site", TOKEN)
    return root_of(folder, deb).parent


@pytest.fixture
def root(made, tmp_path):
    return Path(shutil.copytree(made / "root", tmp_path / "root", symlinks=True))


@pytest.fixture
def token_root(asked, tmp_path):
    return Path(shutil.copytree(asked / "root", tmp_path / "root", symlinks=True))


def edit_manifest(root: Path, **values: object) -> None:
    path = root / "boot/firmware/talus/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_without_network_it_is_installed_and_watches_and_asks_later(token_root) -> None:
    root = token_root  # nobody listens at port 1
    assert boot(root).returncode == 1
    rows = status(root)
    assert rows["broker"][0] == "WAITS"
    assert "127.0.0.1:1" in rows["broker"][1]
    assert all(rows[s][0] == "ok" for s in ("package", "settings", "key", "service", "clock"))
    etc = root / "etc/talus"
    config = load_config(etc / "gateway.toml")  # a service that starts now finds all it needs
    assert tls_context(config.mqtt.brokers[0], config.folder) is not None
    key = (etc / "tls/gateway.key").read_bytes()
    assert boot(root).returncode == 1
    assert (etc / "tls/gateway.key").read_bytes() == key  # the same key asks again
    assert (root / "boot/firmware/talus/enrol.json").exists()
    assert not (root / "var/lib/talus-firstboot/done").exists()


def test_with_a_clock_of_1970_there_is_no_tls_and_all_else(token_root) -> None:
    root = token_root
    # The card says that it was written in 2100: by it this PC's clock is as wrong as 1970.
    edit_manifest(root, made_s=4_102_444_800)
    assert boot(root).returncode == 1
    rows = status(root)
    assert (rows["clock"][0], rows["broker"][0]) == ("WAITS", "WAITS")
    assert "no TLS" in rows["broker"][1]
    assert all(rows[s][0] == "ok" for s in ("package", "settings", "key", "service"))
    assert "readings are kept" in todo(root)


def test_an_expired_token_says_how_to_get_another(token_root) -> None:
    root = token_root
    ticket = root / "boot/firmware/talus/enrol.json"
    ticket.write_text(json.dumps(json.loads(ticket.read_text()) | {"expires_s": 1_000_000_000}))
    assert boot(root).returncode == 1
    assert status(root)["broker"] == ("WRONG", "the token expired on 2001-09-09 01:46 UTC")
    assert "talus-export enrol --token" in todo(root)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format":1}', "\x00" * 300], ids=len)
def test_a_damaged_token_is_no_crash(token_root, text) -> None:
    root = token_root
    (root / "boot/firmware/talus/enrol.json").write_text(text)
    assert boot(root).returncode == 1
    assert status(root)["broker"][0] == "WRONG"
    assert status(root)["service"][0] == "ok"


def signed_by(ca: Path, csr: bytes, key: object = None) -> str:
    pair = Pair((ca / "ca.key").read_bytes(), (ca / "ca.crt").read_bytes())
    public = key or x509.load_pem_x509_csr(csr).public_key()
    return Authority(pair).certify("gw1", public, 100).decode()


def test_only_this_ca_s_certificate_for_this_key_is_taken(token_root, asked, made) -> None:
    assert boot(token_root).returncode == 1  # all but the certificate
    place = Place(token_root, token_root / "boot/firmware")
    card = read_card(place.card)
    cert = token_root / "etc/talus/tls/gateway.crt"
    before = cert.read_bytes()
    own, other = (folder / "site/broker/authority" for folder in (asked, made))
    foreign = ec.generate_private_key(ec.SECP256R1()).public_key()
    for answer in (
        lambda csr: signed_by(other, csr),
        lambda csr: signed_by(own, csr, foreign),
        lambda csr: before.decode(),
        lambda csr: "nothing",
        lambda csr: "",
    ):
        with pytest.raises(StepError):
            enrol(place, card, lambda p, t, csr, ca, said=answer: said(csr), time.time())
        assert cert.read_bytes() == before
        assert (place.card / "enrol.json").exists()
    enrol(place, card, lambda p, t, csr, ca: signed_by(own, csr), time.time())
    assert cert.read_bytes() != before
    assert not (place.card / "enrol.json").exists()


def test_a_key_of_another_certificate_is_noticed_and_kept(root, made) -> None:
    other = made / "site/broker/room/room.key"
    on_card = root / "boot/firmware/talus/tls/gateway.key"
    shutil.copy(other, on_card)
    assert boot(root).returncode == 1
    assert "another key" in status(root)["key"][1]
    assert on_card.exists()

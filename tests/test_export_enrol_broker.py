"""Enrolment against the reference broker, as a gateway asks for its certificate."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from enrol_parts import broker_needed, enrolling_for_gw7
from flash_site import TOKEN, make_deb, make_root, make_site, need, provision
from mqtt_parts import PATIENCE_S, until

from export.broker.enrol import make_token, read_tokens
from export.provision.firstboot.ask import ask
from export.provision.firstboot.card import Card, read_card
from export.provision.firstboot.identity import WaitsError, enrol, settle
from export.provision.firstboot.place import Place
from export.provision.firstboot.request import (
    Ticket,
    parse_ticket,
)


@pytest.fixture
def enrolling(tmp_path):
    with enrolling_for_gw7(tmp_path) as broker:
        yield broker


def root_with(tmp_path: Path) -> Path:
    site = make_site(tmp_path / "site", TOKEN, name="gw7")
    assert provision(site, make_deb(tmp_path), tmp_path / "card") == 0
    root = make_root(tmp_path / "root", tmp_path / "card")
    env = {**os.environ, "TALUS_ROOT": str(root)}
    subprocess.run(["sh", root / "boot/firmware/talus/start.sh"], env=env, check=True)
    return root


def boot(root: Path) -> subprocess.CompletedProcess[str]:
    program = root / "usr/local/lib/talus/talus-firstboot"
    env = {**os.environ, "TALUS_ROOT": str(root)}
    return subprocess.run(
        [sys.executable, "-I", program], env=env, capture_output=True, text=True, check=False
    )


@broker_needed
@need("dpkg")
@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: dpkg --root needs root")
def test_a_blank_gateway_enrols_and_is_let_in(enrolling, tmp_path) -> None:
    enrolling.serve()
    root = root_with(tmp_path)
    card = root / "boot/firmware/talus"
    token = parse_ticket((card / "enrol.json").read_bytes()).token
    done = boot(root)
    text = (root / "boot/firmware/talus-status.txt").read_text()
    assert done.returncode == 0, text + done.stderr
    assert "token scrubbed" in text
    assert not (card / "enrol.json").exists()
    on_gateway = b"".join(p.read_bytes() for p in root.rglob("*") if p.is_file())
    assert token.encode() not in on_gateway  # nowhere
    # The key was made there, and what it signed opens the broker as that gateway alone.
    tls = root / "etc/talus/tls"
    key = (tls / "gateway.key").read_bytes()
    assert not [p for p in (tmp_path / "site").rglob("*") if p.is_file() and p.read_bytes() == key]
    folder = enrolling.out / "gateways/gw7/tls"
    shutil.copytree(tls, folder)
    ear = enrolling.hear("room")
    own = enrolling.hear("gw7", "talus/gw7/command")
    own.client.publish("talus/gw7/s/alarm", b'{"n":1}', qos=1).wait_for_publish(PATIENCE_S)
    until(lambda: ear.payloads("alarm") == [b'{"n":1}'])
    for each in (ear, own):
        each.close()
    assert enrolling.stop_signer() in (0, 130)
    assert [t.gateway for t in read_tokens(enrolling.out) if t.used_by] == ["gw7"]


def settled(tmp_path: Path) -> tuple[Place, Card]:
    """A gateway that has its key, and has asked nobody yet."""
    site = make_site(tmp_path / "site", TOKEN, name="gw7")
    assert provision(site, make_deb(tmp_path), tmp_path / "card") == 0
    root = make_root(tmp_path / "root", tmp_path / "card")
    place = Place(root, root / "boot/firmware")
    card = read_card(place.card)
    settle(place, card)
    return place, card


@broker_needed
@need("dpkg")
def test_nobody_signs_yet_and_then_somebody_does(enrolling, tmp_path) -> None:
    enrolling.serve()  # its session is known to the broker from here on
    enrolling.stop_signer()
    place, card = settled(tmp_path)
    root = place.root
    impatient = functools.partial(ask, wait_s=2.0)
    for _ in range(2):
        with pytest.raises(WaitsError, match="nobody has signed"):
            enrol(place, card, impatient, time.time())
    enrolling.serve("--once")  # what was asked waits at the broker, and so does the answer
    assert enrolling.signer.wait(timeout=PATIENCE_S) == 0
    assert "token scrubbed" in enrol(place, card, impatient, time.time())
    assert not (place.state / "request").exists()
    # Years later: a new token, the key that is there, and not the answer that is kept there still.
    tls = root / "etc/talus/tls"
    key, cert = ((tls / f"gateway.{kind}").read_bytes() for kind in ("key", "crt"))
    enrolling.ticket()
    enrolling.reload()
    shutil.copy(enrolling.out / "enrol/gw7.json", place.card / "enrol.json")
    (place.state / "enrolled").unlink()
    enrolling.serve("--once")

    def is_signed() -> bool:
        with contextlib.suppress(WaitsError):  # until the broker knows of the token
            return "token scrubbed" in enrol(place, card, impatient, time.time())
        return False

    until(is_signed)
    assert (tls / "gateway.key").read_bytes() == key
    assert (tls / "gateway.crt").read_bytes() != cert


@need("dpkg")
def test_a_request_stays_the_same_for_a_token_and_a_key(tmp_path) -> None:
    site = tmp_path / "site"
    make_site(site, name="gw7")
    make_token(site / "broker", "gw7", 0, 14, time.time())
    place, card = settled(tmp_path)
    asked: list[bytes] = []

    def nobody(place: Place, ticket: Ticket, csr: bytes, ca: str) -> str:
        asked.append(csr)
        raise WaitsError("nobody has signed it yet", "wait")

    def ask_twice() -> set[bytes]:
        asked.clear()
        for _ in range(2):
            with pytest.raises(WaitsError):
                enrol(place, card, nobody, time.time())
        return {*asked}

    first = ask_twice()
    make_token(site / "broker", "gw7", 0, 14, time.time())
    shutil.copy(site / "broker/enrol/gw7.json", place.card / "enrol.json")
    second = ask_twice()  # else the broker would hand out what it keeps for the first
    (place.root / "etc/talus/tls/gateway.key").write_bytes(
        (site / "broker/room/room.key").read_bytes()
    )
    third = ask_twice()
    assert [len(each) for each in (first, second, third)] == [1, 1, 1]
    assert len(first | second | third) == 3

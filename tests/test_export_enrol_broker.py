"""Enrolment against the reference broker, as a gateway asks for its certificate."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from flash_site import TOKEN, csr_of, make_deb, make_root, make_site, need, provision
from mqtt_parts import PATIENCE_S, ReferenceBroker, until

from export.__main__ import main
from export.broker.enrol import make_token, read_tokens
from export.local_broker import free_port, mosquitto_path
from export.provision.firstboot.ask import ask
from export.provision.firstboot.card import Card, read_card
from export.provision.firstboot.identity import WaitsError, enrol, settle
from export.provision.firstboot.place import Place
from export.provision.firstboot.request import (
    Ticket,
    broker_word,
    parse_answer,
    parse_ticket,
    request_bytes,
)

broker_needed = pytest.mark.skipif(mosquitto_path() is None, reason="NOT TESTED: no mosquitto")


class Enrolling(ReferenceBroker):
    """The reference broker with a token for gw7, and what signs beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.enrol_port = free_port()
        self.signer: subprocess.Popen[str] | None = None

    def ticket(self, name: str = "gw7", *more: str) -> Ticket:
        words = ["enrol", "--broker", str(self.out), "--token", name, *more]
        assert main([*words, "--port", str(self.enrol_port)]) == 0
        return parse_ticket((self.out / "enrol" / f"{name}.json").read_bytes())

    def start(self) -> None:
        super().start()  # returns when the first port listens, and this is another

        def listens() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.enrol_port), 0.2).close()
            except OSError:
                return False
            return True

        until(listens)

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def serve(self, *more: str) -> None:
        words = ["enrol", "--broker", str(self.out), "--serve", *more]
        self.signer = subprocess.Popen(
            [sys.executable, "-m", "export", *words], stdout=subprocess.PIPE, text=True
        )
        assert "waiting" in self.signer.stdout.readline()

    def stop_signer(self) -> int:
        self.signer.send_signal(signal.SIGINT)
        return self.signer.wait(timeout=PATIENCE_S)

    def __exit__(self, *args: object) -> None:
        if self.signer is not None and self.signer.poll() is None:
            self.signer.kill()
            self.signer.wait()
        super().__exit__(*args)


@pytest.fixture
def enrolling(tmp_path):
    with_token = Enrolling(tmp_path / "site" / "broker")
    with_token.ticket()
    with with_token:
        yield with_token


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


def connection(port: int, ca: Path, user: str, word: str) -> tuple[mqtt.Client, list[object]]:
    """Connect with a password as a new gateway does; returns what the broker says to it."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "x", protocol=mqtt.MQTTv5)
    client.tls_set(ca_certs=str(ca))
    client.username_pw_set(user, word)
    said: list[object] = []
    client.on_connect = lambda *a: said.append(a[3])
    client.on_publish = lambda *a: said.append(a[3])
    client.on_message = lambda *a: said.append(a[2].payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    until(lambda: said)
    return client, said


def close(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


@broker_needed
def test_a_token_opens_one_door_and_nothing_behind_it(enrolling) -> None:
    ca = enrolling.out / "authority/ca.crt"
    ticket = parse_ticket((enrolling.out / "enrol/gw7.json").read_bytes())
    port, word = enrolling.enrol_port, broker_word(ticket.token)
    wrong_ones = (("enrol/gw7", ticket.token), ("enrol/gw7", word[:-1]), ("gw7", word), ("gw1", ""),
                  ("room", word), ("enrol", word), ("enrol/gw1", word))  # fmt: skip
    for user, wrong in wrong_ones:
        client, said = connection(port, ca, user, wrong)
        assert said[0].is_failure, user
        close(client)
    client, said = connection(port, ca, "enrol/gw7", word)
    assert not said[0].is_failure
    for topic, allowed in (
        ("talus/enrol/gw7", True), ("talus/gw7/s/alarm", False), ("talus/gw1/s/alarm", False),
        ("talus/enrol/gw1", False), ("talus/enrol/gw7/certificate", False),
        ("talus/gw1/command", False),
    ):  # fmt: skip
        said.clear()
        client.publish(topic, b"x", qos=1)
        until(lambda: said)
        assert said[0].is_failure != allowed, topic
    said.clear()
    client.subscribe("#", qos=1)
    client.subscribe("talus/gw1/#", qos=1)
    enrolling.config("gw1")  # puts its files in their place
    gw1 = enrolling.hear("gw1", "talus/gw1/command")
    gw1.client.publish("talus/gw1/status", b"secret", qos=1).wait_for_publish(PATIENCE_S)
    gw1.close()
    said.clear()
    client.publish("talus/enrol/gw7", b"x", qos=1)
    until(lambda: said)
    assert b"secret" not in said
    close(client)


@broker_needed
def test_a_second_token_needs_no_restart(enrolling) -> None:
    ticket = enrolling.ticket("gw8")
    enrolling.reload()
    ca = enrolling.out / "authority/ca.crt"

    def is_in() -> bool:
        client, said = connection(enrolling.enrol_port, ca, "enrol/gw8", broker_word(ticket.token))
        close(client)
        return not said[0].is_failure

    until(is_in)


@broker_needed
def test_garbage_and_strangers_do_not_stop_the_signer(enrolling) -> None:
    enrolling.serve()
    ca = enrolling.out / "authority/ca.crt"
    ticket = parse_ticket((enrolling.out / "enrol/gw7.json").read_bytes())
    client, said = connection(enrolling.enrol_port, ca, "enrol/gw7", broker_word(ticket.token))
    client.subscribe("talus/enrol/gw7/certificate", qos=1)
    for payload in (b"", b"\x00" * 100, b"[" * 5000, b"x" * 100_000, b'{"format":1}'):
        client.publish("talus/enrol/gw7", payload, qos=1)
    csr = csr_of()
    client.publish("talus/enrol/gw7", request_bytes(ticket, csr), qos=1)

    def signed() -> bool:
        answers = [parse_answer(each) for each in list(said) if isinstance(each, bytes)]
        return any(each.certificate for each in answers)

    until(signed)
    close(client)

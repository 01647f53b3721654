"""Passwords and certificates: what is refused is refused with a reason, and nothing leaks."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace

import pytest

from edge.errors import TalusError
from edge.message import ALARM, Message
from edge.outbox import Outbox
from edge.parse_mqtt import MqttConfig
from edge.relay import Relay
from export.local_broker import Mosquitto, mosquitto_path

PATIENCE_S = 30.0
SECRET = "kx-7Q.bluff"

if mosquitto_path() is None:
    pytest.skip("NOT TESTED: mosquitto is not installed", allow_module_level=True)


def until(what, relay: Relay) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, (relay.health(), relay.log)
        relay.pump()
        time.sleep(0.001)


def config(port: int, **more: str) -> MqttConfig:
    return replace(MqttConfig("127.0.0.1", port, "talus", 60, "", "", "", "", ""), **more)


@pytest.fixture
def outbox(tmp_path):
    opened = Outbox(tmp_path / "outbox", 10**9)
    opened.put([Message("talus/g/s/alarm", b"1", ALARM)])
    yield opened
    opened.close()


@pytest.fixture
def start(tmp_path, outbox):
    started: list[Relay] = []

    def start(config: MqttConfig) -> Relay:
        started.append(Relay(config, tmp_path, "g", outbox))
        started[-1].start()
        return started[-1]

    yield start
    for relay in started:
        relay.stop(0.2)


def password_file(tmp_path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "password"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path.name


def passwords(folder, password: str) -> None:
    """What the broker knows: the user gw and this password."""
    made = ["mosquitto_passwd", "-b", "-c", str(folder / "users"), "gw", password]
    subprocess.run(made, check=True, capture_output=True)


@pytest.fixture
def guarded(tmp_path):
    folder = tmp_path / "guarded"
    folder.mkdir()
    passwords(folder, SECRET)
    settings = f"allow_anonymous false\npassword_file {folder}/users\nuser root"
    with Mosquitto(folder, settings=settings) as running:
        yield running


def test_the_right_password_lets_the_gateway_in(tmp_path, guarded, outbox, start) -> None:
    name = password_file(tmp_path, SECRET + "\n")
    relay = start(config(guarded.port, username="gw", password_file=name))
    until(lambda: not outbox.messages, relay)
    assert relay.health().connected


def test_a_wrong_password_is_a_reason_and_is_written_nowhere(
    tmp_path, guarded, outbox, start, capfd, caplog
) -> None:
    caplog.set_level("DEBUG")
    name = password_file(tmp_path, "wrong-" + SECRET)
    relay = start(config(guarded.port, username="gw", password_file=name))
    until(lambda: "refused" in relay.health().reason, relay)
    refused = relay.health()
    assert refused.reason.startswith("refused by the broker: ")
    assert "uthori" in refused.reason or "password" in refused.reason
    assert (refused.connected, refused.connections, outbox.messages) == (False, 0, 1)
    relay.stop(0.2)  # takes the disconnection that follows: it does not hide why
    assert relay.health() == refused
    written = [*relay.log, *outbox.notes, refused.reason, caplog.text, *capfd.readouterr()]
    assert relay.log == [f"broker: {refused.reason}"]
    assert not any(SECRET in text for text in written)


def test_a_broker_that_refuses_and_then_accepts_gets_everything(
    tmp_path, guarded, outbox, start
) -> None:
    name = password_file(tmp_path, "the-new-one")
    relay = start(config(guarded.port, username="gw", password_file=name))
    until(lambda: "refused" in relay.health().reason, relay)
    guarded.stop()
    passwords(guarded_folder := tmp_path / "guarded", "the-new-one")
    assert (guarded_folder / "users").exists()
    guarded.start()
    until(lambda: not outbox.messages, relay)
    assert (relay.health().reason, relay.health().connections) == ("", 1)
    assert relay.log[-1] == "broker: connected"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_password_file_that_others_can_read_is_refused(tmp_path, outbox, mode) -> None:
    name = password_file(tmp_path, SECRET, mode)
    with pytest.raises(TalusError, match="chmod 600") as caught:
        Relay(config(1, username="gw", password_file=name), tmp_path, "g", outbox)
    assert SECRET not in str(caught.value)


def test_a_password_file_that_cannot_be_used_is_named(tmp_path, outbox) -> None:
    wanted = config(1, username="gw", password_file="password")
    with pytest.raises(TalusError, match="password: No such file"):
        Relay(wanted, tmp_path, "g", outbox)
    path = tmp_path / password_file(tmp_path, "")
    path.write_bytes(b"\xff" + SECRET.encode())
    with pytest.raises(TalusError, match="not UTF-8") as caught:
        Relay(wanted, tmp_path, "g", outbox)
    assert caught.value.__suppress_context__  # its text holds the password


@pytest.mark.parametrize("host", ["a..b", ".", "x" * 64])
def test_a_host_that_cannot_be_a_name_is_refused_at_once(tmp_path, outbox, host) -> None:
    with pytest.raises(TalusError, match="mqtt.host"):
        Relay(config(1, host=host), tmp_path, "g", outbox)


# ---- TLS with client certificates ----


def openssl(folder, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_ca(folder, name: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-days", "2", "-subj", f"/CN={name}")  # fmt: skip


def make_cert(folder, name: str, ca: str, *extra: str) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}", *extra)  # fmt: skip
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey",
            f"{ca}.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.pem",
            "-copy_extensions", "copy")  # fmt: skip


@pytest.fixture
def tls(tmp_path):
    make_ca(tmp_path, "ca")
    make_ca(tmp_path, "stranger")
    make_cert(tmp_path, "server", "ca", "-addext", "subjectAltName=IP:127.0.0.1")
    make_cert(tmp_path, "gateway", "ca")
    make_cert(tmp_path, "intruder", "stranger")
    folder = tmp_path / "tls"
    folder.mkdir()
    settings = (
        f"allow_anonymous true\ncafile {tmp_path}/ca.pem\ncertfile {tmp_path}/server.pem\n"
        f"keyfile {tmp_path}/server.key\nrequire_certificate true\nuser root"
    )
    with Mosquitto(folder, settings=settings) as running:
        yield running


def certified(port: int, name: str, ca: str = "ca") -> MqttConfig:
    return config(port, ca_file=f"{ca}.pem", cert_file=f"{name}.pem", key_file=f"{name}.key")


def test_a_client_certificate_lets_the_gateway_in(tls, outbox, start) -> None:
    relay = start(certified(tls.port, "gateway"))
    until(lambda: not outbox.messages, relay)
    assert relay.health().connections == 1
    assert relay.log == ["broker: connected"]


@pytest.mark.parametrize("name", ["", "intruder"])
def test_a_gateway_without_a_good_certificate_is_refused_with_a_reason(
    tls, outbox, start, name
) -> None:
    wanted = certified(tls.port, name) if name else config(tls.port, ca_file="ca.pem")
    relay = start(wanted)
    until(lambda: relay.log, relay)
    assert relay.health().connections == 0
    assert f"connection to 127.0.0.1:{tls.port}: " in relay.health().reason
    assert outbox.messages == 1


def test_a_broker_of_another_ca_is_not_spoken_to_and_the_reason_says_so(tls, outbox, start) -> None:
    relay = start(certified(tls.port, "gateway", ca="stranger"))
    until(lambda: relay.log, relay)
    assert "certificate verify failed" in relay.health().reason
    assert (relay.health().connections, outbox.messages) == (0, 1)


def test_a_certificate_that_cannot_be_read_is_an_error_at_the_start(tmp_path, outbox) -> None:
    (tmp_path / "ca.pem").write_text("no certificate", encoding="utf-8")
    for wanted in (config(1, ca_file="ca.pem"), config(1, ca_file="absent.pem")):
        with pytest.raises(TalusError, match="ca_file"):
            Relay(wanted, tmp_path, "g", outbox)

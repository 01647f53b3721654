"""The reference broker, as talus-export makes it: who gets in, and who may do what."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import mqtt_parts as parts
import pytest
from mqtt_parts import alarm, telemetry, until

from edge.errors import TalusError
from export.broker.authority import Authority, Pair
from export.local_broker import mosquitto_path

if mosquitto_path() is None:
    pytest.skip("NOT TESTED: mosquitto is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with parts.ReferenceBroker(tmp_path_factory.mktemp("reference") / "broker") as running:
        for gateway in ("gw1", "gw2"):
            running.config(gateway)  # puts the files where the gateway has them
        yield running


@pytest.fixture
def gateways(tmp_path):
    some = parts.Gateways(tmp_path)
    yield some
    some.close()


@pytest.fixture
def room(broker):
    ear = broker.hear()
    yield ear
    ear.close()


def authority(broker) -> Authority:
    folder = broker.out / "authority"
    return Authority(Pair((folder / "ca.key").read_bytes(), (folder / "ca.crt").read_bytes()))


def write_pair(folder, name: str, pair: Pair) -> None:
    (folder / f"{name}.crt").write_bytes(pair.certificate)
    (folder / f"{name}.key").touch(0o600)
    (folder / f"{name}.key").write_bytes(pair.key)


def presented(broker, tmp_path, pair: Pair, ca: bytes | None = None):
    """The configuration of gw1 with another certificate."""
    write_pair(tmp_path, "other", pair)
    ca = ca or (broker.out / "authority" / "ca.crt").read_bytes()
    (tmp_path / "ca.crt").write_bytes(ca)
    names = {"ca_file": "ca.crt", "cert_file": "other.crt", "key_file": "other.key"}
    return replace(broker.config(), **names)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_the_right_gateway_gets_in_and_is_heard(broker, room, gateways, protocol) -> None:
    relay, outbox = gateways.start(broker.config(protocol=protocol), broker.files())
    outbox.put([alarm(1), telemetry(2)])
    until(lambda: not outbox.messages and relay.health().connected, relay)
    until(lambda: room.payloads("alarm") and room.payloads("telemetry"))
    assert relay.health().reason == ""
    assert relay.published_rows == 2


def test_the_room_commands_a_gateway_and_no_other_hears_it(broker, room, gateways) -> None:
    one, _ = gateways.start(broker.config("gw1"), broker.files("gw1"))
    two, _ = gateways.start(broker.config("gw2"), broker.files("gw2"), "gw2")
    for relay in (one, two):
        relay.subscribe("talus/gw1/command")  # the second has no business there
    until(lambda: one.health().connected and two.health().connected, one, two)
    heard: list[tuple[str, bytes]] = []

    def said() -> list:
        room.client.publish("talus/gw1/command", b'{"id":"c"}', qos=1)
        heard.extend(one.inbox())
        return heard

    until(said, one, two)
    until(one.inbox, one, two)  # so that what the second might get had time to come
    assert set(heard) == {("talus/gw1/command", b'{"id":"c"}')}
    assert two.inbox() == []


def test_another_gateway_writes_nothing_into_this_ones_topics_and_is_told(
    broker, room, gateways
) -> None:
    relay, outbox = gateways.start(broker.config("gw2"), broker.files("gw2"), "gw2")
    outbox.put([alarm(666, gateway="gw1")])
    until(lambda: relay.health().refused, relay)
    found = relay.health()
    assert found.connected
    assert "not authorized" in found.reason
    assert [(name[:14], count) for name, count in found.refused] == [("not authorized", 1)]
    assert outbox.messages == 1  # an alarm is not thrown away because of somebody's mistake
    outbox.put([alarm(7, gateway="gw2")])
    until(lambda: any(b'"n":7' in p for p in room.payloads("alarm")), relay)  # others go past it
    assert not any(b"666" in p for p in room.payloads("alarm"))


def test_in_3_1_1_the_broker_drops_it_and_says_nothing(broker, room, gateways) -> None:
    """Why the snippet says protocol = 5: nothing tells this gateway; only the room misses it."""
    wanted = broker.config("gw2", protocol="3.1.1")
    relay, outbox = gateways.start(wanted, broker.files("gw2"), "gw2")
    outbox.put([alarm(667, gateway="gw1"), alarm(8, gateway="gw2")])
    until(lambda: any(b'"n":8' in p for p in room.payloads("alarm")), relay)
    until(lambda: not outbox.messages, relay)
    assert not any(b"667" in p for p in room.payloads("alarm"))
    assert relay.health().refused == ()


def test_a_gateway_reads_nothing_of_another(broker, room, gateways) -> None:
    spy = broker.hear("gw2")  # asks for everything
    relay, outbox = gateways.start(broker.config("gw1"), broker.files("gw1"))
    outbox.put([alarm(9)])
    until(lambda: any(b'"n":9' in p for p in room.payloads("alarm")), relay)
    room.client.publish("talus/gw2/command", b"{}", qos=1)
    until(lambda: spy.payloads("command"))
    spy.close()
    assert {m.topic for m in spy.heard} == {"talus/gw2/command"}


def test_a_broker_of_another_ca_is_told_nothing(broker, tmp_path, gateways) -> None:
    stranger = Authority.make("stranger")
    wanted = presented(broker, tmp_path, stranger.client("gw1", 30), stranger.pair.certificate)
    relay, outbox = gateways.start(wanted)
    outbox.put([alarm(1)])
    until(lambda: relay.log, relay)
    assert "certificate verify failed" in relay.health().reason
    assert (relay.health().connections, outbox.messages) == (0, 1)


def test_a_certificate_of_another_ca_does_not_get_in(broker, tmp_path, gateways) -> None:
    stranger = Authority.make("stranger")
    relay, outbox = gateways.start(presented(broker, tmp_path, stranger.client("gw1", 30)))
    outbox.put([alarm(1)])
    until(lambda: relay.log, relay)
    assert (relay.health().connections, outbox.messages) == (0, 1)


def test_an_expired_certificate_does_not_get_in_and_is_named_with_its_date(
    broker, tmp_path, gateways
) -> None:
    past = datetime.now(timezone.utc) - timedelta(days=40)
    pair = authority(broker).client("gw1", 30, past)
    relay, outbox = gateways.start(presented(broker, tmp_path, pair))
    outbox.put([alarm(1)])
    until(lambda: relay.log, relay)
    day = (past + timedelta(days=30)).strftime("%Y-%m-%d")
    assert f"the certificate other.crt of this gateway expired on {day}" in relay.health().reason
    assert "the clock of this gateway says" in relay.health().reason
    assert (relay.health().connections, outbox.messages) == (0, 1)
    # The next one is taken without a restart.
    write_pair(tmp_path, "other", authority(broker).client("gw1", 30))
    until(lambda: not outbox.messages, relay)


def test_a_broker_whose_certificate_expired_is_named_with_the_date(
    broker, tmp_path, gateways
) -> None:
    past = datetime.now(timezone.utc) - timedelta(days=40)
    write_pair(tmp_path, "server", authority(broker).server(["127.0.0.1"], 30, past))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    received: list[bytes] = []

    def answer(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as wrapped:
            received.append(wrapped.recv(1000))

    peer = parts.Peer(answer)
    relay, _ = gateways.start(replace(broker.config(), port=peer.port), broker.files())
    until(lambda: relay.log, relay)
    peer.close()
    day = (past + timedelta(days=30)).strftime("%Y-%m-%d")
    assert f"the broker's certificate expired on {day}" in relay.health().reason
    assert not any(received)


def test_a_broker_under_another_name_is_told_nothing(broker, tmp_path, gateways) -> None:
    write_pair(tmp_path, "server", authority(broker).server(["elsewhere.example"], 30))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    peer = parts.Peer(lambda client: context.wrap_socket(client, server_side=True).recv(10))
    relay, _ = gateways.start(replace(broker.config(), port=peer.port), broker.files())
    until(lambda: relay.log, relay)
    peer.close()
    assert "certificate verify failed" in relay.health().reason
    assert relay.health().connections == 0


def test_a_plain_port_gets_no_byte_of_mqtt(broker, gateways) -> None:
    """A downgrade: whoever owns the port speaks plain, and would take anything."""
    received: list[bytes] = []

    def answer(client: socket.socket) -> None:
        received.append(client.recv(4096))
        client.sendall(b"\x20\x02\x00\x00\xd0\x00\xd0\x00")  # CONNACK, as if all were well
        received.append(client.recv(4096))

    peer = parts.Peer(answer)
    relay, outbox = gateways.start(replace(broker.config(), port=peer.port), broker.files())
    outbox.put([alarm(1)])
    until(lambda: peer.connections >= 3 and relay.log, relay)
    assert "does not speak TLS on this port, and plain is never tried" in relay.health().reason
    peer.close()
    assert not any(b"MQTT" in data or b"gw1" in data for data in received)
    assert (relay.health().connections, outbox.messages) == (0, 1)


def test_nobody_speaks_plain_to_the_reference_broker(broker, gateways) -> None:
    relay, outbox = gateways.start(parts.config(broker.port))
    outbox.put([alarm(1)])
    until(lambda: relay.log, relay)
    assert (relay.health().connections, outbox.messages) == (0, 1)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_an_old_tls_is_not_spoken(broker, tmp_path, gateways, version) -> None:
    write_pair(tmp_path, "server", authority(broker).server(["127.0.0.1"], 30))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = getattr(ssl.TLSVersion, version)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    peer = parts.Peer(lambda client: context.wrap_socket(client, server_side=True).recv(10))
    relay, _ = gateways.start(replace(broker.config(), port=peer.port), broker.files())
    until(lambda: relay.log, relay)
    peer.close()
    assert "TLS: " in relay.health().reason
    assert relay.health().connections == 0


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(broker, tmp_path, gateways, mode) -> None:
    wanted = presented(broker, tmp_path, authority(broker).client("gw1", 30))
    (tmp_path / "other.key").chmod(mode)
    with pytest.raises(TalusError, match=r"mqtt\.key_file: .*other\.key can be read.*chmod 600"):
        gateways.start(wanted)


def test_a_locked_key_is_refused_and_asks_nobody(broker, tmp_path, gateways) -> None:
    from cryptography.hazmat.primitives import serialization as s

    pair = authority(broker).client("gw1", 30)
    wanted = presented(broker, tmp_path, pair)
    key = s.load_pem_private_key(pair.key, None)
    locked = s.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked)
    (tmp_path / "other.key").write_bytes(pem)
    with pytest.raises(TalusError, match="locked by a password"):
        gateways.start(wanted)


def test_no_secret_is_written_anywhere(broker, tmp_path, gateways, capfd, caplog) -> None:
    caplog.set_level("DEBUG")
    word = "kx-7Q.bluff"
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text(word, encoding="utf-8")
    pair = authority(broker).client("gw1", 30, datetime.now(timezone.utc) - timedelta(days=99))
    wanted = replace(presented(broker, tmp_path, pair), username="gw1", password_file="password")
    relay, outbox = gateways.start(wanted)
    until(lambda: relay.log, relay)
    good, full = gateways.start(broker.config(), broker.files())
    full.put([alarm(1)])
    until(lambda: not full.messages, good)
    health = str(relay.health()) + str(good.health().values())
    written = [*relay.log, *outbox.notes, health, caplog.text, *capfd.readouterr()]
    secret = pair.key.splitlines()[1].decode()
    for each in (word, secret, "PRIVATE KEY"):
        assert not any(each in text for text in written)
    for path in tmp_path.rglob("outbox*/*"):
        assert word.encode() not in path.read_bytes()

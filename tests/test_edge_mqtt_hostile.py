"""Servers that are no brokers: what they do ends their connection and costs nothing else."""

from __future__ import annotations

import random
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import mqtt_parts as parts
import pytest
from mqtt_parts import alarm, until

from edge import mqtt_choice, mqtt_link, mqtt_route
from edge.health import rss_mb

CONNACK = b"\x20\x02\x00\x00"
CONNACK_5 = b"\x20\x03\x00\x00\x00"


@pytest.fixture
def gateways(tmp_path):
    some = parts.Gateways(tmp_path)
    yield some
    some.close()


@pytest.fixture
def peer():
    made: list[parts.Peer] = []

    def make(act) -> parts.Peer:
        made.append(parts.Peer(act))
        return made[-1]

    yield make
    for each in made:
        each.close()


def answers(*packets: bytes, wait_s: float = 0.0):
    """A server that takes what comes first, and then sends these."""

    def act(client: socket.socket) -> None:
        client.recv(4096)
        for packet in packets:
            client.sendall(packet)
            time.sleep(wait_s)
        while client.recv(65536):
            pass

    return act


def publish(topic: bytes, payload: bytes, qos: int = 0, mid: int = 1) -> bytes:
    body = struct.pack(">H", len(topic)) + topic
    body += struct.pack(">H", mid) if qos else b""
    return bytes([0x30 | qos << 1]) + length(len(body) + len(payload)) + body + payload


def length(n: int) -> bytes:
    out = b""
    while True:
        n, low = divmod(n, 128)
        out += bytes([low | (0x80 if n else 0)])
        if not n:
            return out


def test_a_broker_that_never_answers_is_given_up_and_tried_again(
    gateways, peer, monkeypatch
) -> None:
    monkeypatch.setattr(mqtt_route, "CONNECT_S", 0.5)
    silent = peer(lambda client: client.recv(4096) and time.sleep(60))
    relay, outbox = gateways.start(parts.config(silent.port))
    outbox.put([alarm(1)])
    until(lambda: silent.connections >= 3, relay)
    assert "no answer in time" in relay.health().reason
    assert (relay.health().connections, outbox.messages) == (0, 1)


def test_a_handshake_that_trickles_is_cut_off(gateways, peer, monkeypatch, tmp_path) -> None:
    """Each byte is in time for the socket; together they would take hours."""
    from export.broker.authority import Authority

    monkeypatch.setattr(mqtt_route, "CONNECT_S", 1.0)
    (tmp_path / "ca.crt").write_bytes(Authority.make("ca").pair.certificate)

    def trickle(client: socket.socket) -> None:
        client.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KiB begins
        for _ in range(600):
            client.sendall(b"\x02")
            time.sleep(0.1)

    slow = peer(trickle)
    relay, _ = gateways.start(parts.config(slow.port, ca_file="ca.crt"))
    until(lambda: slow.connections >= 3, relay)
    assert relay.health().connections == 0


@pytest.mark.parametrize("said", [
    random.Random(1).randbytes(4096),
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x20\x02\x00",
    b"\x20\x00",
    b"\x20\x7f" + b"\xff" * 127,
    b"\xff\xff\xff\xff\xff\xff",
    b"\x00" * 100,
    CONNACK + b"\x40\x01\x00",
    CONNACK + b"\x90\x00\x40\x00\x62\x00",
    CONNACK + b"\x32\x02\xff\xff",
])  # fmt: skip
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_garbage_ends_the_connection_and_the_next_is_made(
    gateways, peer, said, protocol, recwarn
) -> None:
    bad = peer(answers(said + b"\xf0" * 8))
    relay, outbox = gateways.start(parts.config(bad.port, protocol=protocol, keepalive_s=2))
    outbox.put([alarm(1)])
    until(lambda: bad.connections >= 2, relay)
    assert outbox.messages == 1
    assert relay.published_messages == 0
    assert all(len(line) < 500 and line.isprintable() for line in relay.log)
    assert not [w for w in recwarn if "Thread" in str(w.category)]  # no thread died of it


MEASURE = """
import sys, time
from pathlib import Path
sys.path.insert(0, "tests")
import mqtt_parts as parts
from edge.health import rss_mb
relay, _ = parts.Gateways(Path(sys.argv[1])).start(parts.config(int(sys.argv[2])))
before, most, end = rss_mb(), 0.0, time.monotonic() + 30
while time.monotonic() < end and "announced" not in relay.health().reason:
    relay.pump()
    most = max(most, rss_mb())
    time.sleep(0.001)
print(most - before, relay.health().reason)
"""


def test_256_mb_announced_are_not_waited_for(peer, tmp_path) -> None:
    """In a process of its own, whose memory nobody else uses."""

    def flood(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(CONNACK + b"\x30" + length(256 * 1024 * 1024 - 1))
        for _ in range(256):
            client.sendall(bytes(1024 * 1024))

    huge = peer(flood)
    command = [sys.executable, "-c", MEASURE, str(tmp_path), str(huge.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    grown, _, reason = done.stdout.partition(" ")
    assert f"the broker announced a packet of {256 * 1024 * 1024 - 1} bytes" in reason
    assert float(grown) < 8.0


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_flood_of_messages_is_bounded(gateways, peer, qos, monkeypatch) -> None:
    monkeypatch.setattr(mqtt_link, "MAX_EVENTS", 100)

    def flood(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(CONNACK)
        for i in range(2000):
            client.sendall(publish(b"talus/gw1/command", bytes(60_000), qos, 1 + i))

    bad = peer(flood)
    relay, outbox = gateways.start(parts.config(bad.port))
    relay.subscribe("talus/gw1/command")
    outbox.put([alarm(1)])
    before = rss_mb()
    relay.pump()
    end = time.monotonic() + 30
    while "more than anybody" not in relay.health().reason and time.monotonic() < end:
        time.sleep(0.2)  # a loop that is busy elsewhere
        relay.pump()
        assert len(relay.inbox()) <= 32
    assert "the broker sends more than anybody asked for" in relay.health().reason
    assert rss_mb() - before < 60.0
    assert outbox.messages == 1


@pytest.mark.parametrize("topic", [
    b"", b"#", b"talus/+/command", b"talus/gw1/command\x00", b"\xff\xfe", b"../../etc/passwd",
    b"talus/gw2/command", b"talus/gw1/command/", b"x" * 60_000, "talus/gw1/cömmand".encode(),
])  # fmt: skip
def test_what_comes_under_another_topic_is_counted_and_not_heard(gateways, peer, topic) -> None:
    bad = peer(answers(CONNACK, publish(topic, b"{}"), publish(b"talus/gw1/command", b"good")))
    relay, _ = gateways.start(parts.config(bad.port))
    relay.subscribe("talus/gw1/command")
    heard: list[tuple[str, bytes]] = []
    until(lambda: heard.extend(relay.inbox()) or heard or bad.connections > 1, relay)
    assert all(each == ("talus/gw1/command", b"good") for each in heard)
    if topic:  # an empty one ends the connection
        assert heard
        assert relay.health().unheard == 1


def test_a_command_that_is_retained_is_not_a_command_given_now(gateways, peer) -> None:
    retained = bytearray(publish(b"talus/gw1/command", b"old"))
    retained[0] |= 1
    bad = peer(answers(CONNACK, bytes(retained), publish(b"talus/gw1/command", b"new")))
    relay, _ = gateways.start(parts.config(bad.port))
    relay.subscribe("talus/gw1/command")
    heard: list[tuple[str, bytes]] = []
    until(lambda: heard.extend(relay.inbox()) or heard, relay)
    assert heard == [("talus/gw1/command", b"new")]


def test_a_puback_for_what_was_never_sent_deletes_nothing(gateways, peer) -> None:
    packets = [CONNACK, *(b"\x40\x02" + struct.pack(">H", 500 + i) for i in range(50))]
    bad = peer(answers(*packets, publish(b"talus/gw1/command", b"end")))
    relay, outbox = gateways.start(parts.config(bad.port))
    relay.subscribe("talus/gw1/command")
    outbox.put([alarm(n) for n in range(5)])
    until(relay.inbox, relay)
    assert (outbox.messages, relay.published_messages) == (5, 0)


def test_another_server_that_a_broker_names_is_not_gone_to(gateways, peer) -> None:
    elsewhere = peer(answers(CONNACK_5))
    name = f"127.0.0.1:{elsewhere.port}".encode()
    reference = b"\x1c" + struct.pack(">H", len(name)) + name
    body = b"\x00\x9c" + bytes([len(reference)]) + reference  # 0x9C: use another server
    bad = peer(answers(b"\x20" + bytes([len(body)]) + body))
    relay, _ = gateways.start(parts.config(bad.port, protocol="5"))
    until(lambda: bad.connections >= 2, relay)
    assert "the broker names another server; only configured ones are used" in relay.health().reason
    assert elsewhere.connections == 0


def test_threads_and_files_do_not_grow_with_the_connections(gateways, peer, monkeypatch) -> None:
    monkeypatch.setattr(mqtt_choice, "RETRY_ALONE_MAX_S", 0.02)
    bad = peer(lambda client: client.close())
    relay, _ = gateways.start(parts.config(bad.port))
    until(lambda: bad.connections >= 10, relay)
    threads, files = threading.active_count(), open_files()
    until(lambda: bad.connections >= 100, relay)
    until(lambda: threading.active_count() <= threads, relay)
    # A connection of the moment has a pair to be woken by, two sockets, and the peer's end of it.
    until(lambda: open_files() <= files + 5, relay)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))

"""Prometheus metrics: read by a strict parser, by promtool where it is here, over real sockets."""

from __future__ import annotations

import http.client
import json
import math
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.metrics import MAX_REQUEST, REQUEST_S, Metrics
from edge.metrics_text import MAX_SAMPLES, metrics_text
from edge.parse_metrics import MetricsConfig
from export.local_broker import free_port

HEALTH = {
    "format": 1, "gateway": 'a"b\\c\nd', "version": "1.2", "time_ms": 1_761_414_365_500,
    "uptime_s": 12.5, "rss_mb": 55.3, "latency_us": {"50": 41.0, "99": 230.5},
    "accounts": {"readings_in": 10, "published": 7, "rejected": {"crc": 2, "time_skew": 1},
                 "waiting": 0, "alarms": 3},
    "outbox": {"messages": 4, "bytes": 4096, "unsaved_alarms": 0, "lost_alarms": 0,
               "dropped_messages": 0},
    "broker": {"connected": True, "connections": 2, "published": 9},
    "stations": {"slope": {"level": 3, "no_data": False, "silent": ["tilt"], "armed": ["velocity"]},
                 "toe": {"level": 0, "no_data": True, "silent": [], "armed": []}},
    "ports": {"node-1": {"state": "opened", "last_reading_ms": 1_761_414_365_000, "frames_ok": 99,
                         "dropped": {"crc": 2}, "gaps": 1, "duplicates": 0, "reboots": 1,
                         "battery_mv": 3700},
              "node-2": {"state": "unavailable: does not exist", "last_reading_ms": None,
                         "frames_ok": 0, "dropped": {}, "gaps": 0, "duplicates": 0, "reboots": 0,
                         "battery_mv": None}},
    "second_path": {"open": True, "modem": {"ready": True, "signal_dbm": -77},
                    "paths": {"sms 1 (..111)": {"sent": 2, "failed": 1, "doubtful": 0,
                                                "waiting": 5}}},
}  # fmt: skip
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\S+)")


def parsed(text: str) -> dict[tuple[str, str], float]:
    """Read the text format as its specification says, and not a byte more leniently."""
    assert text.endswith("\n")
    types: dict[str, str] = {}
    found: dict[tuple[str, str], float] = {}
    current = ""
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            assert re.fullmatch(rf"# HELP {_NAME} [^\n]*", line), line
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in {"counter", "gauge"}
            assert name not in types, "a family stands together"
            types[name] = kind
            current = name
        else:
            match = _SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == current, line
            key = (match[1], match[2] or "")
            assert key not in found, line
            found[key] = float(match[3])
    for name, kind in types.items():
        assert name.endswith("_total") == (kind == "counter"), name
    return found


def test_the_figures_of_a_health_message() -> None:
    found = parsed(metrics_text(HEALTH))
    expected = {
        ("talus_build_info", r'gateway="a\"b\\c\nd",version="1.2"'): 1,
        ("talus_health_timestamp_seconds", ""): 1_761_414_365.5,
        ("talus_resident_memory_bytes", ""): 55.3e6,
        ("talus_readings_total", ""): 10,
        ("talus_readings_rejected_total", 'reason="crc"'): 2,
        ("talus_outbox_bytes", ""): 4096,
        ("talus_broker_connected", ""): 1,
        ("talus_station_level", 'station="slope"'): 3,
        ("talus_station_no_data", 'station="toe"'): 1,
        ("talus_station_silent", 'station="slope"'): 1,
        ("talus_port_open", 'port="node-1"'): 1,
        ("talus_port_open", 'port="node-2"'): 0,
        ("talus_port_dropped_total", 'port="node-1",reason="crc"'): 2,
        ("talus_port_battery_volts", 'port="node-1"'): 3.7,
        ("talus_second_path_waiting", 'path="sms 1 (..111)"'): 5,
        ("talus_second_path_modem_signal_dbm", ""): -77,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert math.isclose(found["talus_decision_latency_p50_seconds", ""], 41e-6)
    assert ("talus_port_battery_volts", 'port="node-2"') not in found  # null is no 0


def test_promtool_finds_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("NOT TESTED: no promtool here (apt install prometheus)")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=metrics_text(HEALTH), capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(sorted(HEALTH)), _VALUE),
    st.text(max_size=300),
    st.floats() | st.integers(),
)
def test_whatever_a_health_message_holds_the_format_stands(health, name, value) -> None:
    health = HEALTH | health
    parsed(metrics_text(health))
    health["stations"] = {name: {"level": value, "no_data": None, "silent": None, "armed": 3}}
    parsed(metrics_text(health))


def test_it_is_bounded() -> None:
    ports = {f"p{i}" * 100: HEALTH["ports"]["node-1"] for i in range(3000)}
    text = metrics_text(HEALTH | {"ports": ports})
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == MAX_SAMPLES
    assert max(map(len, samples)) < 300


@pytest.fixture
def made(tmp_path):
    opened: list[Metrics] = []

    def make(**given) -> Metrics:
        config = MetricsConfig(**({"port": 0, "host": "127.0.0.1", "file": "", "every_ms": 1000}
                                  | given))  # fmt: skip
        opened.append(Metrics(config, tmp_path))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def health() -> bytes:
    return json.dumps(HEALTH).encode()


def get(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, answer.getheader("Content-Type", "")


def test_whoever_asks_is_given_the_last_text(made) -> None:
    metrics = made(port=free_port())
    assert get(metrics.port)[:2] == (200, b"# nothing yet\n")
    asked = []
    for now_ms in (0, 10, 999, 1000, 1500, 500, 2000):  # 500: the clock was set back
        metrics.look(now_ms, lambda: asked.append(1) or health())
    assert len(asked) == 4
    status, body, kind = get(metrics.port)
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert parsed(body.decode())["talus_station_level", 'station="slope"'] == 3
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics?a=b", timeout=20) as a:
        assert a.read() == body
    assert get(metrics.port, method="HEAD")[:2] == (200, b"")
    assert get(metrics.port, "/../../etc/passwd")[0] == 404
    assert get(metrics.port, method="POST")[0] == 405
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/x", timeout=20)


def test_it_listens_on_this_machine_alone(made) -> None:
    metrics = made(port=free_port())
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    local = [line.split()[1] for line in listening if line.split()[3] == "0A"]
    assert [a for a in local if a.endswith(f":{metrics.port:04X}")] == [
        f"0100007F:{metrics.port:04X}"
    ]


@pytest.mark.parametrize("request_", [b"GET", b"\x16\x03\x01\x02\x00\xfc", b"a b c\r\n\r\n"])
def test_nonsense_and_slow_ones_neither_stop_it_nor_hold_it_for_long(made, request_) -> None:
    metrics = made(port=free_port())
    metrics.look(0, health)
    with socket.create_connection(("127.0.0.1", metrics.port)) as slow:
        slow.sendall(request_)
        began = time.monotonic()
        assert get(metrics.port)[0] == 200
        assert time.monotonic() - began < REQUEST_S + 10


def test_a_request_without_end_is_cut(made) -> None:
    metrics = made(port=free_port())
    metrics.look(0, health)
    with socket.create_connection(("127.0.0.1", metrics.port), timeout=20) as peer:
        sent = 0
        try:
            while sent < 1000 * MAX_REQUEST:
                peer.sendall(b"x" * 4096)
                sent += 4096
        except OSError:  # reset, or a broken pipe
            pass
        assert sent < 1000 * MAX_REQUEST
    assert get(metrics.port)[0] == 200


def test_a_port_that_is_taken_stops_nothing(made) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        metrics = made(port=other.getsockname()[1], file="talus.prom")
        assert "cannot listen" in metrics.log[0]
        metrics.look(0, health)
    assert metrics.port == 0


def test_the_file_is_always_whole_and_goes_with_the_gateway(made, tmp_path) -> None:
    metrics = made(file="talus.prom")
    path = tmp_path / "talus.prom"
    wanted = metrics_text(HEALTH)
    seen: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            if path.exists():
                seen.append(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for now_ms in range(0, 100_000, 1000):
        metrics.look(now_ms, health)
    done.set()
    reader.join()
    assert set(seen) == {wanted}
    assert path.stat().st_mode & 0o777 == 0o644
    metrics.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_said_once(made) -> None:
    metrics = made(file="no/such/folder/talus.prom")
    for now_ms in (0, 2000, 4000):
        metrics.look(now_ms, health)
    assert len(metrics.log) == 1
    assert "No such file" in metrics.log[0]


def test_without_a_table_the_health_is_not_even_asked_for(made) -> None:
    made().look(0, lambda: pytest.fail("asked"))

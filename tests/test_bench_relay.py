"""The benchmark of the relay: its judge misses nothing, its proxy does what it says."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from typing import Any

import pytest
from bench_modules import imported
from hypothesis import given
from hypothesis import strategies as st

NAMES = "relay", *(f"relay_{part}" for part in (
    "judge", "faults", "proxy", "parts", "latency", "room", "silent", "memory", "drain"
))  # fmt: skip


with imported(*NAMES) as PARTS:
    pass


@pytest.fixture
def parts() -> Any:
    return PARTS


def alarms_of(keys: list[tuple[str, str]], levels: list[int]) -> list[dict[str, Any]]:
    """Alarms of one or more stations, whose levels follow one another."""
    last: dict[str, int] = {}
    found = []
    for (station, number), level in zip(keys, levels, strict=True):
        found.append({"station": station, "id": number, "level": level,
                      "previous_level": last.get(station, 0)})  # fmt: skip
        last[station] = level
    return found


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), max_size=40), st.randoms())
def test_what_came_in_order_and_more_than_once_is_no_loss(
    made: list[tuple[str, int]], dice: random.Random
) -> None:
    judge = PARTS.relay_judge.judge
    keys = [(station, f"{station}-{i}") for i, (station, _) in enumerate(made)]
    alarms = alarms_of(keys, [level for _, level in made])
    came: list[dict[str, Any]] = []
    for alarm in alarms:  # after a lost connection the last few come again, behind what came
        came.append(alarm)
        came += came[len(came) - dice.randrange(3) :] if dice.random() < 0.3 else []
    found = judge(keys, came)
    assert (found.raised, found.lost, found.out_of_order) == (len(keys), 0, 0)
    assert (found.unknown, found.broken) == (0, 0)
    assert found.duplicates == len(came) - len(alarms)


@given(st.integers(2, 30), st.data())
def test_a_loss_and_a_swap_are_found(count: int, data: st.DataObject) -> None:
    judge = PARTS.relay_judge.judge
    keys = [("a", str(i)) for i in range(count)]
    alarms = alarms_of(keys, [1 + i % 4 for i in range(count)])
    place = data.draw(st.integers(0, count - 2))
    lost = judge(keys, alarms[:place] + alarms[place + 1 :])
    assert (lost.lost, lost.out_of_order, lost.broken) == (1, 0, 1)
    swapped = [*alarms[:place], alarms[place + 1], alarms[place], *alarms[place + 2 :]]
    found = judge(keys, swapped)
    assert (found.lost, found.out_of_order) == (0, 1)
    assert found.broken > 0


def test_stations_are_judged_apart_and_strangers_are_named(parts) -> None:
    judge = parts.relay_judge.judge
    keys = [("a", "1"), ("b", "1"), ("a", "2")]
    alarms = alarms_of([("b", "1"), ("a", "1"), ("a", "2"), ("c", "9")], [3, 1, 2, 1])
    found = judge(keys, alarms)
    assert (found.lost, found.out_of_order, found.unknown, found.broken) == (0, 0, 1, 0)
    both = found + judge([("d", "1")], [])
    assert (both.raised, both.lost, both.unknown) == (4, 1, 1)


@given(st.integers(0, 10_000), st.integers(1, 70), st.integers(0, 500))
def test_every_change_of_level_is_one(row: int, every: int, seed: int) -> None:
    level_at = PARTS.relay_judge.level_at
    here = level_at(row, every, seed)
    assert 0 <= here < 5
    assert here == level_at(row // every * every, every, seed)
    assert here != level_at(row + every, every, seed)


def test_percentiles_are_values_that_were_seen(parts) -> None:
    percentile = parts.relay_judge.percentile
    hundred = [float(i) for i in range(1, 101)]
    assert percentile(hundred, 0.5) == 50
    assert percentile(hundred, 0.99) == 99
    assert percentile([7.0], 0.99) == percentile([7.0], 0.01) == 7.0


def test_faults_are_of_every_kind_and_of_the_seed_alone(parts) -> None:
    faults = parts.relay_faults
    assert sum(faults.WEIGHTS.values()) == 100
    one, two = (
        [faults.draw(random.Random(f"{seed}/{i}"), faults.WEIGHTS) for i in range(1000)]
        for seed in (6, 7)
    )
    assert one == [faults.draw(random.Random(f"6/{i}"), faults.WEIGHTS) for i in range(1000)]
    assert one != two
    assert Counter(fault.kind for fault in one).keys() == faults.WEIGHTS.keys()
    assert {fault.way for fault in one} == {"up", "down"}


class Echo:
    """A peer behind the proxy that gives back what it gets."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(peer,), daemon=True).start()

    @staticmethod
    def _echo(peer: socket.socket) -> None:
        try:
            while data := peer.recv(65536):
                peer.sendall(data)
        except OSError:
            pass


@pytest.fixture
def proxied(parts):
    echo = Echo()
    with parts.relay_proxy.Proxy(echo.port) as proxy:
        client = socket.create_connection(("127.0.0.1", proxy.port), 10)
        client.sendall(b"first")
        assert client.recv(5) == b"first"
        assert proxy.live == 1
        yield proxy, client
        client.close()
    echo.server.close()


def silent_for(client: socket.socket, wait_s: float) -> bool:
    client.settimeout(wait_s)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


def test_the_proxy_passes_much_and_loses_nothing(proxied) -> None:
    _, client = proxied
    data = random.Random(1).randbytes(3_000_000)
    threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
    came = b""
    while len(came) < len(data):
        came += client.recv(1 << 20)
    assert came == data


def test_the_proxy_delays_both_ways(proxied) -> None:
    proxy, client = proxied
    proxy.delay(0.1)
    began_s = time.monotonic()
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert time.monotonic() - began_s >= 0.2


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_is_held_comes_later_and_whole(proxied, way) -> None:
    proxy, client = proxied
    proxy.hold(way)
    client.sendall(b"later")
    assert silent_for(client, 0.2)
    proxy.heal()
    assert client.recv(5) == b"later"


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_is_swallowed_never_comes_and_the_connection_ends(proxied, way) -> None:
    proxy, client = proxied
    proxy.swallow(way)
    client.sendall(b"gone")
    assert silent_for(client, 0.2)
    assert proxy.swallowed == 4
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    again = socket.create_connection(("127.0.0.1", proxy.port), 10)
    again.sendall(b"new")
    assert again.recv(3) == b"new"
    again.close()


def test_a_cut_is_a_reset(proxied) -> None:
    proxy, client = proxied
    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.cut() == proxy.live == 0


def test_rows_are_matched_with_their_first_arrival(parts) -> None:
    latency, arrived = parts.relay_latency, parts.relay_room.Arrived

    def came(at_s: float, topic: str, values: dict[str, Any]) -> Any:
        return arrived(at_s, topic, json.dumps(values).encode())

    def alarm(at_s: float, row: int) -> Any:
        hit = {"channel": "hot", "value": float(f"{latency.alarm_value(row):.7g}"), "unit": ""}
        rules = [{"conditions": [{"hits": [hit]}]}]
        return came(at_s, "talus/g/s/alarm", {"rules": rules})

    found = latency.timed(
        [float(i) for i in range(20)],
        [10.0, 11.0],
        [
            came(7.5, "talus/g/s/telemetry", {"rows": [[0, 6, 1.0], [0, 7, 1.0]]}),
            came(9.0, "talus/g/s/telemetry", {"rows": [[0, 6, 1.0]]}),
            alarm(15.25, 15),
            alarm(16.0, 15),
            arrived(11.5, "bare/line", b"1795641158700,1,0.0,0.0\r\n"),
        ],
        settle=0,
    )
    assert found.telemetry == [1.5, 0.5]
    assert found.alarms == [0.25]
    assert found.bare == [0.5]


def test_growth_is_from_the_warm_up_on(parts) -> None:
    growth = parts.relay_memory.growth
    starting = [(10.0 + i, 5, 2) for i in range(20)]
    assert growth(starting + [(30.0, 20, 3)] * 40) == (0.0, 0, 0)
    rss, files, threads = growth([(30.0 + i / 10, 20 + i // 40, 3) for i in range(60)])
    assert rss == pytest.approx(3.2)
    assert (files, threads) == (1, 0)
    with pytest.raises(ValueError, match="too few"):
        growth(starting)


def test_silent_drops_are_scaled_as_the_keepalive_is(parts) -> None:
    silent = parts.relay_silent
    assert [silent.scaled(s, quick=False) for s in silent.DROPS_S] == [8.0, 24.0, 480.0]
    assert [silent.scaled(s, quick=True) for s in silent.DROPS_S] == [8.0, 24.0, 30.0]


def test_the_table_says_what_is_met(parts) -> None:
    figures = {"faults_injected": 101, "alarms_lost": 1, "p50_over_bare": 1.5}
    for quick, faults in ((True, "  met"), (False, "MISSED")):
        text = parts.relay.table(figures, quick=quick)
        rows = {line.split()[0]: line for line in text.splitlines()}
        assert rows["faults_injected"].endswith(faults)
        assert rows["alarms_lost"].endswith("MISSED")
        assert rows["p50_over_bare"].endswith("  met")
        assert rows["rss_growth_mb"].endswith("not measured")


def test_without_a_broker_everything_is_named_and_nothing_is_zero(
    parts, monkeypatch, capsys
) -> None:
    relay = parts.relay
    monkeypatch.setattr(relay, "mosquitto_path", lambda: None)
    assert relay.gather(relay.PARTS, quick=True) == ({}, [])
    said = capsys.readouterr().out
    for names in relay.PARTS:
        assert f"{names}: not measured: no mosquitto here" in said


def test_the_config_is_one_that_talus_takes(parts, tmp_path) -> None:
    from edge.config import load_config

    made = parts.relay_parts.write_config(
        tmp_path, name="g", device="/dev/null", port=1883, stations={"a": "hot"}, keepalive_s=2
    )
    config = load_config(made)
    assert config.mqtt.keepalive_s == 2
    assert [rule.level for rule in config.stations[0].decision.rules] == [1, 2, 3, 4]

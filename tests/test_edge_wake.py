"""The loop sleeps until something is due: what other threads have for it wakes it."""

from __future__ import annotations

import select
import threading
import time

import pytest
from mqtt_parts import PATIENCE_S, Gateways, Hearer, config, telemetry, until

from edge.wake import Wake


@pytest.fixture
def gateways(tmp_path):
    made = Gateways(tmp_path)
    yield made
    made.close()


def awoken(wake: Wake) -> bool:
    return bool(select.select([wake], [], [], PATIENCE_S)[0])


def test_no_call_is_lost_however_they_fall() -> None:
    wake = Wake()
    there: list[int] = []

    def put() -> None:
        for n in range(20_000):
            there.append(n)
            wake.call()

    thread = threading.Thread(target=put)
    thread.start()
    seen = 0
    while seen < 20_000:
        assert awoken(wake)
        wake.clear()
        seen = len(there)
    thread.join()
    wake.close()
    wake.call()  # whoever comes too late finds nobody, and no harm
    wake.clear()


def test_many_calls_are_one() -> None:
    wake = Wake()
    for _ in range(100_000):  # more than any pipe holds
        wake.call()
    wake.clear()
    assert select.select([wake], [], [], 0)[0] == []
    wake.call()
    assert awoken(wake)
    wake.close()


def test_a_relay_wakes_its_loop_for_all_that_cannot_wait(broker, gateways) -> None:
    """Connected, room for more, the end: each comes though nobody looks by the clock."""
    relay, outbox = gateways.start(config(broker.port))
    hearer = Hearer(broker.port)

    def turns(done) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end
            assert awoken(relay.wake)
            relay.wake.clear()
            relay.pump()

    turns(lambda: relay.connected)
    outbox.put([telemetry(n, size=200) for n in range(1000)])
    relay.pump()
    turns(lambda: outbox.messages < 64)  # of the last no acknowledgement is waited for
    until(lambda: not outbox.messages, relay)
    until(lambda: len(hearer.payloads("s/telemetry")) == 1000)
    broker.stop()
    turns(lambda: not relay.connected)
    hearer.close()

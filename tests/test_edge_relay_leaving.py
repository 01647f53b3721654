"""The end of a connection: whoever leaves in order says so, and whoever loses it says that."""

from __future__ import annotations

import json

import pytest
from mqtt_parts import Gateways, Hearer, config, until


@pytest.fixture
def gateways(tmp_path):
    made = Gateways(tmp_path)
    yield made
    made.close()


def test_leaving_in_order_is_no_loss(broker, gateways) -> None:
    relay, _ = gateways.start(config(broker.port))
    until(lambda: relay.connected, relay)
    relay.stop()
    assert "broker: left in order" in relay.log
    assert not [line for line in relay.log if "lost" in line or "broke off" in line]
    assert (relay.connected, relay.health().reason) == (False, "left in order")
    room = Hearer(broker.port)
    until(lambda: room.payloads("status"))
    assert json.loads(room.payloads("status")[-1])["online"] is False
    room.close()


def test_a_broker_that_goes_is_a_loss(broker, gateways) -> None:
    relay, _ = gateways.start(config(broker.port))
    until(lambda: relay.connected, relay)
    broker.stop()
    until(lambda: not relay.connected, relay)
    assert any("lost the connection" in line for line in relay.log)
    relay.stop(0.1)
    assert "broker: left in order" not in relay.log


def test_a_gateway_that_never_got_a_connection_tells_of_none_that_it_left(gateways) -> None:
    relay, _ = gateways.start(config(1))
    until(lambda: relay.log, relay)
    relay.stop(0.1)
    assert not [line for line in relay.log if "left" in line or "lost" in line]

"""Two brokers, each behind a proxy and with a hearer, and a gateway that prefers the first."""

from __future__ import annotations

import contextlib
import json

import mqtt_parts as parts

from edge.parse_mqtt import Broker
from export.local_broker import Mosquitto

PATIENCE_S = 1.0


def numbers(ear: parts.Hearer, kind: str) -> list[int]:
    return [json.loads(payload)["n"] for payload in ear.payloads(kind)]


@contextlib.contextmanager
def two_brokers(folder_of_both):
    """Give (broker, proxy, hearer) of each."""
    sides = []
    for name in ("preferred", "second"):
        folder = folder_of_both / name
        folder.mkdir()
        broker = Mosquitto(folder)
        broker.start()
        sides.append((broker, parts.Proxy(broker.port), parts.Hearer(broker.port, name=name)))
    yield sides
    for broker, proxy, ear in sides:
        proxy.close()
        ear.close()
        broker.stop()


def both(sides, **more):
    (_, one, _), (_, other, _) = sides
    more = {"patience_s": PATIENCE_S, "probe_s": 0.2} | more
    return parts.config(one.port, others=(Broker("127.0.0.1", other.port),), **more)

"""What the relay tells of itself: its retained status, and how the way to the broker stands."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.message import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.mqtt_link import Link


@dataclass(frozen=True, slots=True)
class RelayHealth:
    """How the way to the broker stands.

    ``place``: 0 is the preferred broker. ``refused``: messages that the broker does not take now,
    by its reason. ``unheard``: messages to this gateway that nobody asked for.
    """

    connected: bool
    reason: str
    connections: int
    published: int
    on_the_air: int
    broker: str = ""
    place: int = 0
    refused: tuple[tuple[str, int], ...] = ()
    unheard: int = 0

    def values(self) -> dict[str, Any]:
        """Return the table ``broker`` of the health message."""
        return {
            "connected": self.connected,
            "reason": self.reason,
            "connections": self.connections,
            "published": self.published,
            "address": self.broker,
            "place": self.place,
            "refused": dict(self.refused),
            "unheard": self.unheard,
        }


class Birth:
    """The retained status: online since when and with what, or offline (also the last will)."""

    def __init__(self, topic: str, gateway: str, bundles: Mapping[str, str | None]) -> None:
        self.topic = topic
        self._about = {
            "format": 1,
            "gateway": gateway,
            "online": False,
            "version": __version__,
            "started_ms": round(time.time() * 1000),
            "bundles": dict(bundles),
        }
        self._mid: int | None = None

    def payload(self, *, online: bool) -> bytes:
        """Return the message."""
        return to_json(self._about | {"online": online})

    def renew(self, bundles: Mapping[str, str | None]) -> None:
        """Take what watches each station from now on."""
        self._about["bundles"] = dict(bundles)

    def say(self, link: Link, *, online: bool) -> None:
        """Publish it."""
        self._mid = link.publish(self.topic, self.payload(online=online), retain=True)

    @property
    def waits(self) -> bool:
        """Whether the broker has not acknowledged it yet."""
        return self._mid is not None

    def answered(self, mid: int) -> None:
        """Take an acknowledgement."""
        if mid == self._mid:
            self._mid = None

    def forget(self) -> None:
        """Take that the connection is gone."""
        self._mid = None

"""What others publish to this gateway: under the topics asked for, and not much of it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from edge.mqtt_link import heard_topic

if TYPE_CHECKING:
    from edge.mqtt_link import Event, Link

MAX_HEARD = 32
"""Messages that wait to be taken; what comes on top is dropped and counted."""


class Ear:
    """The topics that this gateway hears."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.dropped = 0
        """Messages under other topics, retained ones, and more than anybody takes."""
        self._heard: deque[tuple[str, bytes]] = deque()

    def __bool__(self) -> bool:
        """Whether something was heard that nobody has taken."""
        return bool(self._heard)

    def subscribe(self, link: Link) -> None:
        """Ask for the topics on a connection that has just been made."""
        for topic in self.topics:
            link.subscribe(topic)

    def hear(self, message: Any) -> None:
        """Take a message of paho's. A retained one was not said now: it would be heard again."""
        topic = heard_topic(message)
        if topic in self.topics and not message.retain and len(self._heard) < MAX_HEARD:
            self._heard.append((topic, bytes(message.payload)))
        else:
            self.dropped += 1

    def take(self) -> list[tuple[str, bytes]]:
        """Give what came since the last time."""
        heard = list(self._heard)
        self._heard.clear()
        return heard


def refusals(event: Event) -> list[Any]:
    """Return the reason codes of a subscription that mean no."""
    return [code for code in event.reason or () if code.is_failure]

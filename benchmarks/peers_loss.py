"""Readings lost over four disturbances, all gateways at once, each with ten readings a second.

Broker: killed (SIGKILL) and back after a while; the subscriber's session survives. Silent link: a
proxy takes all and gives nothing, then resets. Kill: the broker is away, the gateways are killed
(SIGKILL) and started again at once, then the broker comes back. Replug: the device vanishes and
comes back under its name; what is written in the first seconds counts only if it came.

A gateway that ends by itself is started again after two seconds, as systemd would. A reading is
lost that was written while somebody listened and never came; after a replug, whoever listens.
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peers_rig import SETTLE_S, Rig
from peers_tally import Account, account
from relay_parts import Broker, await_true
from relay_proxy import DOWN, UP, Proxy
from relay_room import Room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

    from peers_gateways import Peer

RATE_HZ = 10.0
GRACE_S = 2.0
"""A port that is open again so soon after a replug has lost nothing that counts."""
AWAY_S = 3.0
"""How long a device is unplugged."""
DISTURBANCES = ("broker", "silent", "kill", "replug")


@dataclass(frozen=True, slots=True)
class Durations:
    """How long each takes, seconds."""

    before: float
    after: float
    broker: float
    silent: float
    kill: float
    patience: float
    """Until what waits has come in the end."""


FULL = Durations(5.0, 20.0, 30.0, 60.0, 20.0, 150.0)
QUICK = Durations(2.0, 15.0, 10.0, 15.0, 6.0, 25.0)


@dataclass(frozen=True, slots=True)
class Loss:
    """What one disturbance cost one gateway."""

    account: Account
    ends: int
    """Times that it ended by itself."""


class Scene:
    """Broker, proxy, subscriber and gateways of one disturbance. Use as a context."""

    def __init__(self, peers: Sequence[Peer], folder: Path) -> None:
        folder.mkdir()
        self._stack = ExitStack()
        self.broker = self._stack.enter_context(_Broker(folder / "broker"))
        self.proxy = self._stack.enter_context(Proxy(self.broker.port))
        topics = [peer.topic for peer in peers]
        self.room = self._stack.enter_context(Room(self.broker.port, *topics))
        for peer in peers:
            self._stack.enter_context(peer.server(self.broker.port))
        self.rigs = [
            self._stack.enter_context(Rig(peer, folder / peer.name, self.proxy.port))
            for peer in peers
        ]

    def settle(self, before_s: float) -> None:
        """Wait until every gateway hands on what is written."""
        for rig in self.rigs:
            if not rig.await_open(settle_s=0.0):
                print(f"{rig.peer.name}: does not open its port; it said last:\n{rig.said()}")
        time.sleep(SETTLE_S)

        def all_work() -> bool:
            self.write(0.1)
            return all(rig.came(self.room.arrived).at_s for rig in self.rigs)

        await_true(all_work, 20.0)
        for rig in self.rigs:
            rig.written_s.clear()
        self.write(before_s)

    def write(self, seconds: float, *, anyway: bool = False) -> None:
        """Write rows to all for so long."""
        due_s = time.monotonic()
        for _ in range(max(1, round(seconds * RATE_HZ))):
            for rig in self.rigs:
                rig.supervise()
                rig.write(anyway=anyway)
            due_s += 1 / RATE_HZ
            time.sleep(max(0.0, due_s - time.monotonic()))

    def finish(self, patience_s: float) -> None:
        """Wait for what still comes."""

        def all_came() -> bool:
            for rig in self.rigs:
                rig.supervise()
                rig.flush()
            return all(
                set(rig.written_s) <= set(rig.came(self.room.arrived).at_s) for rig in self.rigs
            )

        await_true(all_came, patience_s, 1.0)

    def losses(
        self, ended_s: float, excused_s: tuple[float, float] = (0.0, 0.0)
    ) -> dict[str, Loss]:
        """Return what each has lost."""
        return {
            rig.peer.name: Loss(
                account(rig.written_s, rig.came(self.room.arrived), ended_s, excused_s), rig.ends
            )
            for rig in self.rigs
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class _Broker(Broker):
    """A broker that keeps for an absent subscriber also what comes at QoS 0."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        with self._config.open("a", encoding="utf-8") as file:
            file.write("queue_qos0_messages true\n")

    def kill(self) -> None:
        """Kill it; who subscribed is remembered."""
        self.save()
        self.stop(signal.SIGKILL)


def _afterwards(scene: Scene, d: Durations) -> dict[str, Loss]:
    """Go on undisturbed for a while; what did not come by its end is lost."""
    ended_s = time.monotonic()
    scene.write(d.after)
    scene.finish(d.patience)
    return scene.losses(ended_s)


def broker_kill(scene: Scene, d: Durations) -> dict[str, Loss]:
    """Kill the broker for a while."""
    scene.broker.kill()
    scene.write(d.broker)
    scene.broker.start()
    return _afterwards(scene, d)


def silent_link(scene: Scene, d: Durations) -> dict[str, Loss]:
    """Let the link die without a word."""
    scene.proxy.swallow(UP, DOWN)
    scene.write(d.silent)
    scene.proxy.cut()
    scene.proxy.heal()
    return _afterwards(scene, d)


def gateway_kill(scene: Scene, d: Durations) -> dict[str, Loss]:
    """Kill the gateways while the broker is away."""
    scene.broker.kill()
    scene.write(d.kill)
    for rig in scene.rigs:
        rig.kill()
    for rig in scene.rigs:
        rig.start()
    scene.write(d.kill)
    scene.broker.start()
    return _afterwards(scene, d)


def replug(scene: Scene, d: Durations) -> dict[str, Loss]:
    """Pull every cable, and put it back."""
    for rig in scene.rigs:
        rig.unplug()
    end_s = time.monotonic() + AWAY_S
    while time.monotonic() < end_s:
        for rig in scene.rigs:
            rig.supervise()
        time.sleep(0.1)
    for rig in scene.rigs:
        rig.plug()
    ended_s = time.monotonic()
    scene.write(d.after, anyway=True)
    scene.finish(min(d.patience, 10.0))
    return scene.losses(ended_s, (ended_s, ended_s + GRACE_S))


RUNS: dict[str, Callable[[Scene, Durations], dict[str, Loss]]] = dict(
    zip(DISTURBANCES, (broker_kill, silent_link, gateway_kill, replug), strict=True)
)


def run(peers: Sequence[Peer], folder: Path, d: Durations) -> dict[str, dict[str, Loss]]:
    """Run every disturbance; what each gateway lost, by disturbance and name."""
    found = {}
    for name, disturbed in RUNS.items():
        print(f"  {disturbed.__doc__}", flush=True)
        with Scene(peers, folder / name) as scene:
            scene.settle(d.before)
            found[name] = disturbed(scene, d)
    return found

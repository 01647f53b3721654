"""Commands from the operations room, over MQTT.

They come in under ``<topic>/<gateway>/command`` and are answered under ``.../reply`` with the same
id; each is a line of ``orders.log``. Orders go the way that they go from the command line
(`OrderBox`), the rest is done here. The broker's access rights are the first wall, the signature
(`edge.remote_auth`) the second.
"""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from edge.backfill import BackfillRun
from edge.bundle_commit import commit
from edge.bundle_install import settle
from edge.errors import TalusError
from edge.message import HEALTH, Message, to_json
from edge.order import Order
from edge.order_box import OrderBox
from edge.remote_auth import Nonces, authenticate, load_nonces
from edge.remote_command import (
    Backfill,
    Chunk,
    Command,
    Commit,
    CommitUpdate,
    HealthNow,
    Refusal,
    TelemetryRate,
    UpdateChunk,
    decode_command,
)
from edge.remote_proof import Proof
from edge.remote_update import Updates
from edge.remote_upload import Upload
from edge.update_state import COMMITTED

if TYPE_CHECKING:
    from edge.bundle_taken import Taken
    from edge.bundle_trial import Ended, Trials
    from edge.config import Config
    from edge.outbox import Outbox
    from edge.relay import Relay

MAX_RATE_MS = 7 * 86_400_000
"""For no longer is another telemetry rate set."""
REFUSALS = 20
"""Refusals a minute that are answered and written down one by one; more are counted."""
_MINUTE_MS = 60_000
_SHARE = 4
"""After a signature was verified the loop is free of it for so many times as long as it took."""


class Remote(OrderBox):
    """The orders of one gateway, from the command line and from afar."""

    def __init__(
        self, config: Config, relay: Relay, outbox: Outbox, trials: Trials | None = None
    ) -> None:
        super().__init__(config.data_dir)
        self._config = config
        self._trials = trials
        self._relay = relay
        self._outbox = outbox
        self._prefix = f"{config.mqtt.topic}/{config.name}"
        relay.subscribe(f"{self._prefix}/command")
        self._waiting: deque[bytes] = deque()
        self._nonces: Nonces | None = None
        self._unsaved: dict[str, bytes] = {}
        self._free_s = 0.0
        self._asked: list[tuple[Order, Command, str]] = []
        self._upload = Upload(config)
        self._updates = Updates(config)
        self._proof: tuple[Proof, Command, str] | None = None
        self._backfill: tuple[BackfillRun, Command, str] | None = None
        self._rate: TelemetryRate | None = None
        self._hurried: dict[str, float] = {}
        self.accepted = 0
        self.refused: dict[str, int] = {}
        """Commands refused, by reason."""
        self._minute_ms: int | None = None
        self._refusals = self._unanswered = 0

    @property
    def telemetry_every_ms(self) -> int:
        """How long rows are gathered into one message, for now."""
        return self._config.telemetry_every_ms if self._rate is None else self._rate.every_ms

    @property
    def busy(self) -> bool:
        """Whether `look` has something to go on with."""
        return bool(self._waiting) or self._proof is not None or self._backfill is not None

    def hurried(self) -> dict[str, float]:
        """Give what is to be published at once, as the gateway keeps what is due."""
        found, self._hurried = self._hurried, {}
        return found

    def values(self) -> dict[str, Any]:
        """Return what became of commands as JSON values."""
        update = {} if self._updates.last is None else {"update": self._updates.last}
        return {"accepted": self.accepted, "refused": dict(self.refused), **update}

    def look(self, now_ms: int) -> list[Order]:
        """Give the orders that wait, and do one command that is none."""
        found = super().look(now_ms)
        if self._nonces is None:
            self._nonces = load_nonces(self._outbox.load_state, now_ms)
        self._go_on(now_ms)
        if not self._waiting:
            topic = f"{self._prefix}/command"
            self._waiting.extend(data for at, data in self._relay.inbox() if at == topic)
        if self._waiting and time.monotonic() >= self._free_s:
            order = self._take(self._waiting.popleft(), self._nonces, now_ms)
            found += [] if order is None else [order]
        return found

    def answer(self, order: Order, now_ms: int, *, done: bool, text: str) -> None:
        """Say what became of an order, there where it came from."""
        for asked in self._asked:
            if asked[0] is order:
                self._asked.remove(asked)
                self._reply(asked[1], asked[2], now_ms, done=done, text=text)
                return
        super().answer(order, now_ms, done=done, text=text)

    def _go_on(self, now_ms: int) -> None:
        """Go on with what takes its time, and take back what was for a time."""
        if self._rate is not None and now_ms >= self._rate.until_ms:
            self._rate = None
            self._hurried["telemetry"] = 0.0
            self._note(now_ms, "telemetry is published as configured again")
        if self._backfill is not None and (told := self._backfill[0].look(now_ms, self._outbox)):
            _, command, key = self._backfill
            self._backfill = None
            self._reply(command, key, now_ms, done=not told.startswith("failed"), text=told)
        if self._proof is not None and (found := self._proof[0].look()) is not None:
            _, command, key = self._proof
            self._proof = None
            self._settle(command, key, now_ms, *found)
        if (ended := self._updates.look(now_ms)) is not None:
            self._tell_update(ended, now_ms)
        if self._minute_ms is None or not 0 <= now_ms - self._minute_ms < _MINUTE_MS:
            if self._unanswered:
                self._note(now_ms, f"{self._unanswered} more commands were refused, not answered")
            self._minute_ms, self._refusals, self._unanswered = now_ms, 0, 0

    def _take(self, data: bytes, nonces: Nonces, now_ms: int) -> Order | None:
        """Read one command, prove it, and do it; an order is given to the gateway."""
        found = decode_command(data)
        if isinstance(found, Refusal):
            self._refuse(found, now_ms, f"{len(data)} bytes")
            return None
        began_s = time.monotonic()
        key = authenticate(found, self._config.remote, self._config.name, nonces, now_ms)
        ended_s = time.monotonic()
        self._free_s = ended_s + _SHARE * (ended_s - began_s)
        if isinstance(key, Refusal):
            self._refuse(key, now_ms, _line(found))
            return None
        if key:
            self._unsaved |= nonces.remember(found.nonce, found.time_ms)
            if not self._outbox.put([], self._unsaved):
                text = "the disk does not take its nonce: free some space"
                self._refuse(Refusal(found.id, "disk", text), now_ms, _line(found))
                return None
            self._unsaved = {}
        self.accepted += 1
        if isinstance(found.body, Order):
            self._asked.append((found.body, found, key))
            return found.body
        try:
            self._do(found, key, now_ms)
        except (TalusError, OSError) as error:
            text = str(error).replace("\n", "; ")[:1000]
            self._reply(found, key, now_ms, done=False, text=text)
        return None

    def _do(self, command: Command, key: str, now_ms: int) -> None:
        """Do a command that is no order. Raises TalusError, OSError."""
        body = command.body
        if isinstance(body, HealthNow):
            self._hurried["health"] = 0.0
            self._reply(command, key, now_ms, done=True, text="health is published")
        elif isinstance(body, TelemetryRate):
            if body.until_ms - now_ms > MAX_RATE_MS:
                raise TalusError(f"for {MAX_RATE_MS // 86_400_000} days at most")
            self._rate = body  # one whose time has passed is taken back at the next look
            self._hurried["telemetry"] = 0.0
            text = f"telemetry every {body.every_ms / 1000:g} s until {body.until_ms}"
            self._reply(command, key, now_ms, done=True, text=text)
        elif isinstance(body, Backfill):
            if not self._config.capture:
                raise TalusError("this gateway keeps no capture: [gateway] capture is not set")
            if self._backfill is not None:
                raise TalusError(f"backfill {self._backfill[0].id} is still at work")
            self._backfill = BackfillRun(self._config, body, command.id), command, key
            self._reply(command, key, now_ms, done=True, text="begun", more=True)
        elif isinstance(body, Chunk):
            self._gather(command, key, body, now_ms)
        elif isinstance(body, Commit):
            text, tried = commit(self._config, body.bundle, body.station, now_ms,
                                 now=body.now, asked=command.id)  # fmt: skip
            if self._trials is not None:
                self._trials.renew()
            self._reply(command, key, now_ms, done=True, text=text, more=tried)
        elif isinstance(body, UpdateChunk):
            left = self._updates.take(body)
            text = "taken" if left >= 0 else f"whole: commit_update {body.kind} puts it in"
            self._reply(command, key, now_ms, done=True, text=text, left=left)
        elif isinstance(body, CommitUpdate):
            text = self._updates.commit(body.kind, command.id, command.who)
            self._reply(command, key, now_ms, done=True, text=text, more=True)

    def renew(self, taken: Taken) -> None:
        """Take that other bundles watch."""
        self._config = taken.config

    def tell_trial(self, ended: Ended, now_ms: int) -> None:
        """Say how the trial of a bundle ended."""
        self._note(now_ms, f"station {ended.station}: {ended.text}")
        self._hurried["health"] = 0.0
        if ended.asked:
            values = {"id": ended.asked, "what": "commit_bundle", "done": ended.healthy}
            self._send(values | {"text": ended.text}, now_ms)

    def _tell_update(self, ended: dict[str, Any], now_ms: int) -> None:
        """Say what came of an update, put in by a command or by a person here."""
        self._note(now_ms, f"update {ended['outcome']}: {ended['text']}")
        self._hurried["health"] = 0.0
        if ended["id"]:
            done = ended["outcome"] == COMMITTED
            values = {"id": ended["id"], "what": "commit_update", "done": done}
            self._send(values | {"text": ended["text"]}, now_ms)

    def _gather(self, command: Command, key: str, chunk: Chunk, now_ms: int) -> None:
        if self._proof is not None:
            raise TalusError(f"the models of {self._upload.bundle!r} are being proven: wait")
        whole, missing = self._upload.take(chunk)
        if whole:
            self._upload.tidy()
            self._proof = Proof(self._upload.folder, self._config), command, key
        text = "its models are being proven" if whole else "taken"
        self._reply(command, key, now_ms, done=True, text=text, more=whole, missing=missing)

    def _settle(self, command: Command, key: str, now_ms: int, holds: bool, text: str) -> None:
        """Keep a bundle that was proven, throw away one that was not."""
        name = self._upload.bundle
        try:
            if holds:
                settle(self._config, self._upload.folder, name)
                text = f"staged {name!r}: {text}; commit_bundle lets it watch a station"
        except OSError as error:
            holds, text = False, str(error)
        self._upload.end()
        self._reply(command, key, now_ms, done=holds, text=text)

    def _refuse(self, refusal: Refusal, now_ms: int, line: str) -> None:
        self.refused[refusal.reason] = self.refused.get(refusal.reason, 0) + 1
        self._refusals += 1
        if self._refusals > REFUSALS:
            self._unanswered += 1
            return
        self._note(now_ms, f"{line} over MQTT refused: {refusal.reason}: {refusal.text}")
        values = {"id": refusal.id, "done": False, "reason": refusal.reason, "text": refusal.text}
        self._send(values, now_ms)

    def _reply(
        self, command: Command, key: str, now_ms: int, *, done: bool, text: str, more: bool = False,
        missing: tuple[str, ...] = (), left: int = -1,
    ) -> None:  # fmt: skip
        """Write down and answer; ``more`` says that another answer follows."""
        by = f"key {key}" if key else "nobody's key"
        self._note(now_ms, f"{_line(command)} over MQTT by {by} "
                           f"{'done' if done else 'refused'}: {text}")  # fmt: skip
        values: dict[str, Any] = {"id": command.id, "what": command.what, "done": done}
        values |= {"text": text} | ({"more": True} if more else {})
        if missing:
            values["missing"] = missing
        if left >= 0:
            values["next"] = left
        self._send(values, now_ms)

    def _send(self, values: dict[str, Any], now_ms: int) -> None:
        """Put an answer into the outbox: after alarms, before telemetry."""
        head = {"format": 1, "gateway": self._config.name, "time_ms": now_ms}
        self._outbox.put([Message(f"{self._prefix}/reply", to_json(head | values), HEALTH)])


def _line(command: Command) -> str:
    """Return a command for the audit, without what only a machine reads."""
    values = json.loads(command.signed.partition(b"\n")[2])
    for key in ("data", "nonce"):
        values.pop(key, None)
    return json.dumps(values, separators=(",", ":"), ensure_ascii=True)

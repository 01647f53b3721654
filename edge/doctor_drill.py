"""An alarm that is marked as a drill, sent through the running gateway, and followed on its way."""

from __future__ import annotations

import getpass
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.doctor_diagnosis import AS_ROOT, FAULT, OK, Diagnosis
from edge.doctor_saved import last_drill, waits
from edge.order import Order, OrderError, decode_order, encode_order
from edge.order_box import await_reply, put_order
from edge.owner import as_owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config
    from edge.doctor_process import Process

ANSWER_S = 10.0
AIR_S = 20.0
"""How long the broker may take to acknowledge it."""
_TURN_S = 0.1


@dataclass(frozen=True, slots=True)
class Drill:
    """What is asked for: a station ("" for the first), and a level."""

    station: str = ""
    level: int = 1


def drill(
    config: Config, process: Process | None, wanted: Drill, *, foreign: bool
) -> Iterator[Diagnosis]:
    """Send one, and say how far it came: decided, stored, acknowledged by the broker."""
    station = wanted.station or config.stations[0].name
    if process is None and foreign:
        text = "whether a talus run could send it is not for this user to see"
        yield Diagnosis("drill", station, FAULT, text, AS_ROOT)
        return
    if process is None:
        text = "no talus run is at work that could send it"
        fix = "start it (systemctl start talus), then talus doctor --drill again"
        yield Diagnosis("drill", station, FAULT, text, fix)
        return
    began_ms = time.time_ns() // 1_000_000
    order = Order(uuid.uuid4().hex, "drill", station, _who(), "talus doctor", wanted.level)
    try:
        decode_order(encode_order(order))
        with as_owner(config.data_dir):
            put_order(config.data_dir, order)
            reply = await_reply(config.data_dir, order, ANSWER_S)
    except (OrderError, OSError) as error:
        yield Diagnosis("drill", station, FAULT, f"cannot be asked for: {error}", AS_ROOT)
        return
    if reply is None:
        text = f"talus run has not answered in {ANSWER_S:g} s: it hangs, or is another's"
        yield Diagnosis("drill", station, FAULT, text, "restart it: systemctl restart talus")
    elif not reply.done:
        fix = "name a station of this gateway: talus doctor --drill STATION"
        yield Diagnosis("drill", station, FAULT, f"refused: {reply.text}", fix)
    else:
        yield _follow(config, station, began_ms)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return "doctor"


def _follow(config: Config, station: str, began_ms: int) -> Diagnosis:
    """Wait until the alarm is in the journal and no longer in the outbox."""
    began_s = time.monotonic()
    alarm_id = ""
    while time.monotonic() - began_s < AIR_S:
        alarm_id = alarm_id or last_drill(config.data_dir, began_ms)
        if alarm_id and waits(config.data_dir, alarm_id) is False:
            took_s = time.monotonic() - began_s
            text = f"{alarm_id} is decided, stored, and acknowledged by the broker: ask the "
            text += "operations room whether it is seen there"
            return Diagnosis("drill", station, OK, text, value=took_s, unit="s")
        time.sleep(_TURN_S)
    if not alarm_id:
        text = "it was taken, but is in no journal: the disk is full, or not for this user to read"
        fix = "run this as root, and see storage"
        return Diagnosis("drill", station, FAULT, text, fix)
    text = f"{alarm_id} is decided and stored, but no broker has taken it in {AIR_S:g} s"
    fix = "mend the way to the broker (see broker): it is sent by itself then"
    return Diagnosis("drill", station, FAULT, text, fix, AIR_S, "s")

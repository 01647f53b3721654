"""The folder of a reference broker: each part of it goes to another machine.

``authority/`` stays off all of them; ``mosquitto/`` goes to the broker, ``gateways/NAME/`` to that
gateway, ``room/`` to the operations room.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import TalusError
from export.broker.authority import Authority, Pair
from export.broker.mosquitto import ENROL, ROOM, acl_text, conf_text, snippet
from export.signing import put

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_STREAM = re.compile(r"[0-9]{1,19}|'[A-Za-z0-9_.:-]{1,64}'")
_PLAN = "broker.json"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a broker is like: kept in its folder, so that ``--renew`` need not be told again."""

    hosts: tuple[str, ...]
    port: int
    topic: str
    user: str
    place: str
    """Where ``mosquitto/`` will stand on the broker."""
    gateways: tuple[str, ...]
    enrol_port: int = 0
    """Where gateways that have no certificate yet ask for one; 0: nowhere."""
    datastreams: tuple[tuple[str, str], ...] = ()
    """Of a SensorThings server: which gateway writes which, (gateway, id between the brackets)."""
    enrolled: tuple[str, ...] = ()
    """Gateways that have made, or will make, their key themselves: none is made for them here."""
    shut_out: tuple[str, ...] = ()
    """Names that are never given again: somebody may hold a certificate of theirs."""


def make(out: Path, plan: Plan, days: int) -> None:
    """Make a broker's folder with a new CA. Raises TalusError, OSError."""
    _check(plan)
    if out.exists() and any(out.iterdir()):
        raise TalusError(f"{out}: is not empty: --renew for a broker that is there already")
    authority = Authority.make(f"Talus CA of {plan.hosts[0]}"[:64])
    folder = _folder(out / "authority", 0o700)
    put(folder, {"ca.key": authority.pair.key}, 0o600)
    put(folder, {"ca.crt": authority.pair.certificate}, 0o644)
    _write(out, plan, authority, days, plan.gateways, everything=True)


def renew(
    out: Path, more: Sequence[str], days: int, datastreams: tuple[tuple[str, str], ...] = ()
) -> Plan:
    """Sign anew with the CA that is there: the gateways named, or all and the broker itself.

    All but those that have made their keys themselves, unless they are named. ``datastreams``
    come to those that are in the access list.
    """
    plan = read_plan(out)
    names = tuple(more) or tuple(g for g in plan.gateways if g not in plan.enrolled)
    known = tuple(sorted({*plan.gateways, *names}))
    enrolled = tuple(g for g in plan.enrolled if g not in names)
    streams = tuple(dict.fromkeys((*plan.datastreams, *datastreams)))
    plan = replace(plan, gateways=known, datastreams=streams, enrolled=enrolled)
    _check(plan)
    _write(out, plan, open_authority(out), days, names, everything=not more)
    return plan


def remove(out: Path, names: Sequence[str]) -> Plan:
    """Take gateways out of the access list, for good. Raises TalusError, OSError."""
    plan = read_plan(out)
    for name in names:
        if name not in plan.gateways:
            raise TalusError(f"--remove {name}: there are {', '.join(plan.gateways) or 'none'}")
    plan = replace(
        plan,
        gateways=tuple(g for g in plan.gateways if g not in names),
        datastreams=tuple(pair for pair in plan.datastreams if pair[0] not in names),
        enrolled=tuple(g for g in plan.enrolled if g not in names),
        shut_out=tuple(sorted({*plan.shut_out, *names})),
    )
    _write(out, plan, open_authority(out), 1, (), everything=False)
    return plan


def open_authority(out: Path) -> Authority:
    """Read the CA of a broker's folder. Raises OSError."""
    folder = out / "authority"
    return Authority(Pair((folder / "ca.key").read_bytes(), (folder / "ca.crt").read_bytes()))


def admit(out: Path, gateway: str, enrol_port: int, days: int) -> tuple[Plan, bool]:
    """Let a gateway ask for its certificate: access list, and the listener if there is none yet.

    Returns the plan, and whether the broker must be started again for a new listener.
    """
    before = read_plan(out)
    known = tuple(sorted({*before.gateways, gateway}))
    enrolled = tuple(sorted({*before.enrolled, gateway}))
    port = enrol_port or before.enrol_port or 8884
    plan = replace(before, gateways=known, enrolled=enrolled, enrol_port=port)
    _check(plan)
    if plan.enrol_port == plan.port:
        raise TalusError(f"--port {plan.enrol_port}: that is where gateways with one connect")
    authority = open_authority(out)
    if not (out / ENROL / f"{ENROL}.crt").exists():
        folder = _folder(out / ENROL, 0o700)
        _pair(folder, ENROL, authority.client(ENROL, days), authority.pair.certificate)
    is_new = plan.enrol_port != before.enrol_port
    if is_new:
        _conf(out / "mosquitto", plan)
    _write(out, plan, authority, days, (), everything=False)
    return plan, is_new


def read_plan(out: Path) -> Plan:
    """Read what the broker in a folder is like. Raises TalusError."""
    try:
        values: dict[str, Any] = json.loads((out / _PLAN).read_text(encoding="utf-8"))
        values |= {key: tuple(values[key]) for key in ("hosts", "gateways")}
        values |= {key: tuple(values.get(key, ())) for key in ("enrolled", "shut_out")}
        values["datastreams"] = tuple((str(g), str(d)) for g, d in values.get("datastreams", ()))
        plan = Plan(**values)
        _check(plan)
    except OSError as error:
        raise TalusError(f"{out / _PLAN}: {error.strerror}: no broker was made there") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TalusError(f"{out / _PLAN}: not what this command writes: {error}") from error
    return plan


def _check(plan: Plan) -> None:
    for gateway in plan.gateways:
        if not NAME.fullmatch(gateway) or gateway.strip(".") == "":
            raise TalusError(f"--gateway {gateway!r}: letters, digits, '_', '.', '-', 64 at most")
        if gateway == ROOM:
            raise TalusError(f"--gateway {ROOM}: that is the operations room")
        if gateway == ENROL:
            raise TalusError(f"--gateway {ENROL}: that is where new gateways ask to be let in")
        if gateway in plan.shut_out:
            raise TalusError(f"{gateway} was shut out, and its certificate would be let in again: "
                             "give the gateway another name")  # fmt: skip
    _check_datastreams(plan)
    if len(set(plan.gateways)) < len(plan.gateways):
        raise TalusError("--gateway: a name stands there twice")
    for host in plan.hosts:
        if not _HOST.fullmatch(host):
            raise TalusError(f"--host {host!r}: a host name or an address")
    if not plan.hosts or not (plan.gateways or plan.shut_out):
        raise TalusError("at least one --host and one --gateway are needed")
    if not all(NAME.fullmatch(level) for level in plan.topic.split("/")):
        raise TalusError(f"--topic {plan.topic!r}: a plain prefix such as talus")
    if not NAME.fullmatch(plan.user) or not re.fullmatch(r"/[\w./-]*", plan.place):
        raise TalusError("--user, --place: a user name, and a whole path without blanks")


def _check_datastreams(plan: Plan) -> None:
    for gateway, stream in plan.datastreams:
        if gateway not in plan.gateways:
            raise TalusError(f"--datastream {gateway}={stream}: no such --gateway")
        if not _STREAM.fullmatch(stream):
            raise TalusError(f"--datastream {gateway}={stream}: a number, or a short text")


def _folder(path: Path, mode: int) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


def _write(
    out: Path,
    plan: Plan,
    authority: Authority,
    days: int,
    names: Sequence[str],
    *,
    everything: bool,
) -> None:
    ca = authority.pair.certificate
    for gateway in names:
        folder = _folder(out / "gateways" / gateway, 0o700)
        table = snippet(gateway, plan.hosts[0], plan.port, plan.topic)
        _pair(folder, "gateway", authority.client(gateway, days), ca)
        put(folder, {"mqtt.toml": table.encode()}, 0o644)
    if everything:
        _pair(_folder(out / "room", 0o700), ROOM, authority.client(ROOM, days), ca)
        folder = _folder(out / "mosquitto", 0o755)
        _pair(folder, "server", authority.server(plan.hosts, days), ca)
        _folder(folder / "data", 0o700)
        _conf(folder, plan)
    if everything and plan.enrol_port:
        _pair(_folder(out / ENROL, 0o700), ENROL, authority.client(ENROL, days), ca)
    enrols, streams = bool(plan.enrol_port), plan.datastreams
    acl = acl_text(plan.topic, plan.gateways, enrols=enrols, datastreams=streams)
    put(out / "mosquitto", {"acl": acl.encode()}, 0o600)  # mosquitto wants it unread by others
    put(out, {_PLAN: (json.dumps(asdict(plan), indent=1) + "\n").encode()}, 0o644)


def _conf(folder: Path, plan: Plan) -> None:
    place = Path(plan.place)
    text = conf_text(place, place / "data", plan.port, plan.user, plan.enrol_port)
    put(folder, {"mosquitto.conf": text.encode()}, 0o644)


def _pair(folder: Path, name: str, pair: Pair, ca: bytes) -> None:
    put(folder, {f"{name}.key": pair.key}, 0o600)
    put(folder, {f"{name}.crt": pair.certificate, "ca.crt": ca}, 0o644)

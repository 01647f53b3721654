"""OASIS Common Alerting Protocol 1.2: one message as XML.

What it says of urgency, severity and certainty is a mapping of the level, stated here; a gateway
is no alerting authority, so that status and scope are the configuration's. Texts are English.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from edge import __version__
from edge.alarm import LEVELS, describe
from edge.parse_publish import CapArea

if TYPE_CHECKING:
    from edge.alarm import AlarmChange
    from edge.parse_publish import CapConfig

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
URGENCY = ("Past", "Future", "Expected", "Expected", "Immediate")
SEVERITY = ("Minor", "Minor", "Moderate", "Severe", "Extreme")
CERTAINTY = ("Unlikely", "Possible", "Possible", "Likely", "Likely")
MAX_HEADLINE = 160
MAX_DESCRIPTION = 4000
DRILL_MS = 3_600_000
"""How long a drill is valid. A level has no such end: it stands until a Cancel says otherwise."""
_LAST_MS = 253_402_300_799_000
_MAX_SCORES = 5
_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def sent_text(time_ms: int) -> str:
    """Write a time as CAP wants it: seconds, and UTC is -00:00, never Z."""
    within = min(max(time_ms, 0), _LAST_MS)
    time = datetime(1970, 1, 1) + timedelta(milliseconds=within)
    return time.isoformat(timespec="seconds") + "-00:00"


def identifier(change: AlarmChange, gateway: str) -> str:
    """Return the identifier of the message that tells of a change."""
    return f"{gateway}-{change.id}"


def reference(cap: CapConfig, change: AlarmChange, gateway: str) -> str:
    """Return how a later message refers to this one."""
    return f"{cap.sender},{identifier(change, gateway)},{sent_text(change.received_ms)}"


def cap_xml(
    cap: CapConfig, change: AlarmChange, gateway: str, kind: str, references: tuple[str, ...]
) -> bytes:
    """Return a message; ``kind`` is Alert, Update or Cancel."""
    drill = change.kind == "drill"
    alert = ET.Element("alert", xmlns=NAMESPACE)
    _add(alert, "identifier", identifier(change, gateway))
    _add(alert, "sender", cap.sender)
    _add(alert, "sent", sent_text(change.received_ms))
    _add(alert, "status", "Exercise" if drill else cap.status)
    _add(alert, "msgType", kind)
    _add(alert, "source", f"Talus {__version__}, gateway {gateway}, automatic")
    _add(alert, "scope", cap.scope)
    _add(alert, "restriction", cap.restriction)
    if cap.scope == "Private":
        _add(alert, "addresses", " ".join(_quoted(address) for address in cap.addresses))
    _add(alert, "note", change.reason if drill else "")
    _add(alert, "references", " ".join(references))
    _info(ET.SubElement(alert, "info"), cap, change, gateway, over=kind == "Cancel")
    return bytes(ET.tostring(alert, encoding="utf-8", xml_declaration=True))


def _info(
    info: ET.Element, cap: CapConfig, change: AlarmChange, gateway: str, *, over: bool
) -> None:
    drill, level = change.kind == "drill", change.level
    rank = 0 if over else level
    _add(info, "language", "en")
    _add(info, "category", "Geo")
    _add(info, "event", cap.event)
    _add(info, "responseType", "AllClear" if over else "")
    _add(info, "urgency", URGENCY[rank])
    _add(info, "severity", SEVERITY[rank])
    _add(info, "certainty", CERTAINTY[rank])
    _add(info, "expires", sent_text(change.received_ms + DRILL_MS) if drill else "")
    _add(info, "senderName", cap.sender_name)
    _add(info, "headline", _headline(cap, change)[:MAX_HEADLINE])
    _add(info, "description", describe_change(change)[:MAX_DESCRIPTION])
    _add(info, "instruction", cap.instructions[level - 1] if cap.instructions and not over else "")
    _add(info, "web", cap.web)
    _add(info, "contact", cap.contact)
    for name, value in (
        ("gateway", gateway), ("station", change.station), ("level", str(level)),
        ("level_name", LEVELS[level]), ("no_data", str(change.no_data).lower()),
        ("alarm_id", change.id), ("bundle", change.bundle),
    ):  # fmt: skip
        if value.strip():
            parameter = ET.SubElement(info, "parameter")
            _add(parameter, "valueName", name)
            _add(parameter, "value", value)
    _area(info, dict(cap.areas).get(change.station, CapArea(change.station)))


def _area(info: ET.Element, found: CapArea) -> None:
    area = ET.SubElement(info, "area")
    _add(area, "areaDesc", found.description)
    _add(area, "polygon", found.polygon)
    _add(area, "circle", found.circle)


def _headline(cap: CapConfig, change: AlarmChange) -> str:
    drill = "DRILL: " if change.kind == "drill" else ""
    silent = ", NO-DATA" if change.no_data else ""
    level = f"level {change.level} ({LEVELS[change.level]})"
    return f"{drill}{cap.event}, {change.station}: {level}{silent}"


def describe_change(change: AlarmChange) -> str:
    """Say in words what changed, on which evidence, and how old that is."""
    lines = [change.reason]
    lines += [f"Stands: level {rule.level}, {rule.text()}" for rule in change.rules]
    leading = sorted((s for s in change.evidence if s.ratio >= 1.0), key=lambda s: -s.ratio)
    for score in leading[:_MAX_SCORES]:
        shadow = "" if score.armed else " (shown only, not alarming)"
        lines.append(f"Evidence: {describe(score)}{shadow}")
    if change.silent:
        lines.append(f"Silent: {', '.join(change.silent)}; silence lowers no level.")
    if change.ages_ms:
        name, age_ms = max(change.ages_ms, key=lambda pair: pair[1])
        lines.append(f"Oldest reading: {name}, {age_ms / 1000:.0f} s before this message.")
    lines.append(f"Time of the readings: {sent_text(change.time_ms)}.")
    return "\n".join(lines)


def _quoted(address: str) -> str:
    return f'"{address}"' if any(c.isspace() for c in address) else address


def _add(parent: ET.Element, name: str, text: str) -> None:
    """Add an element; one without text is left out, as CAP has no empty ones."""
    clean = _NOT_XML.sub("\ufffd", text)
    if clean.strip():
        ET.SubElement(parent, name).text = clean

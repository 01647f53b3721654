"""What the standard says of a CAP 1.2 message: its own schema, and the data dictionary beside it.

The dictionary is written down anew here, with what of the schema can be said in Python: what finds
a mistake in one of them would have to be missed by the other.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import xmlschema

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("data") / "CAP-v1.2.xsd")
NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
TIME = re.compile(r"\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\d[-,+]\d\d:\d\d\Z")
# (name, least, most; 0: no limit, what the text must be): order as in the schema's sequences.
ONE_OF = {
    "status": {"Actual", "Exercise", "System", "Test", "Draft"},
    "msgType": {"Alert", "Update", "Cancel", "Ack", "Error"},
    "scope": {"Public", "Restricted", "Private"},
    "category": {"Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env",
                 "Transport", "Infra", "CBRNE", "Other"},
    "responseType": {"Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess",
                     "AllClear", "None"},
    "urgency": {"Immediate", "Expected", "Future", "Past", "Unknown"},
    "severity": {"Extreme", "Severe", "Moderate", "Minor", "Unknown"},
    "certainty": {"Observed", "Likely", "Possible", "Unlikely", "Unknown"},
}  # fmt: skip
SEQUENCES = {
    "alert": [("identifier", 1, 1), ("sender", 1, 1), ("sent", 1, 1), ("status", 1, 1),
              ("msgType", 1, 1), ("source", 0, 1), ("scope", 1, 1), ("restriction", 0, 1),
              ("addresses", 0, 1), ("code", 0, 0), ("note", 0, 1), ("references", 0, 1),
              ("incidents", 0, 1), ("info", 0, 0)],
    "info": [("language", 0, 1), ("category", 1, 0), ("event", 1, 1), ("responseType", 0, 0),
             ("urgency", 1, 1), ("severity", 1, 1), ("certainty", 1, 1), ("audience", 0, 1),
             ("eventCode", 0, 0), ("effective", 0, 1), ("onset", 0, 1), ("expires", 0, 1),
             ("senderName", 0, 1), ("headline", 0, 1), ("description", 0, 1),
             ("instruction", 0, 1), ("web", 0, 1), ("contact", 0, 1), ("parameter", 0, 0),
             ("resource", 0, 0), ("area", 0, 0)],
    "parameter": [("valueName", 1, 1), ("value", 1, 1)],
    "area": [("areaDesc", 1, 1), ("polygon", 0, 0), ("circle", 0, 0), ("geocode", 0, 0),
             ("altitude", 0, 1), ("ceiling", 0, 1)],
}  # fmt: skip
PLACE = r"-?\d+(\.\d+)?,-?\d+(\.\d+)?"
POLYGON = re.compile(rf"{PLACE}( {PLACE}){{3,}}\Z")
CIRCLE = re.compile(rf"{PLACE} \d+(\.\d+)?\Z")
TOKEN = re.compile(r"[^\s,<&]+\Z")
LANGUAGE = re.compile(r"[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*\Z")


def wrong_by_schema(text: bytes) -> list[str]:
    """All that the schema of the standard would not have."""
    try:
        return [f"{each.path}: {each.reason}" for each in SCHEMA.iter_errors(text.decode())]
    except (ET.ParseError, xmlschema.XMLSchemaException) as error:
        return [f"not XML: {error}"]


def wrong_in(text: bytes) -> list[str]:
    """All that the standard would not have."""
    return [*wrong_by_dictionary(text), *wrong_by_schema(text)]


def wrong_by_dictionary(text: bytes) -> list[str]:
    """All that the data dictionary would not have."""
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        return [f"not XML: {error}"]
    if root.tag != f"{{{NAMESPACE}}}alert":
        return [f"the root is {root.tag}"]
    found = _wrong_element(root)
    values = {_name(each): each.text or "" for each in root}
    if not all(TOKEN.match(values.get(key, "")) for key in ("identifier", "sender")):
        found.append("identifier or sender holds what it must not")
    if values.get("sent", "Z").endswith(("Z", "+00:00")):
        found.append("UTC is -00:00")
    for each in values.get("references", "").split():
        parts = each.split(",")
        if len(parts) != 3 or not TIME.match(parts[2]):
            found.append(f"a reference is sender,identifier,sent: {each}")
    if values.get("msgType") in ("Update", "Cancel") and "references" not in values:
        found.append("Update and Cancel refer to something")
    if (values.get("scope") == "Private") and not values.get("addresses"):
        found.append("Private needs addresses")
    if (values.get("scope") == "Restricted") != ("restriction" in values):
        found.append("restriction goes with Restricted")
    if values.get("status") == "Exercise" and not values.get("note"):
        found.append("an exercise is named in note")
    return found


def _name(element: ET.Element) -> str:
    space, _, name = element.tag.partition("}")
    return name if space == "{" + NAMESPACE else element.tag


def _wrong_element(element: ET.Element) -> list[str]:
    name, found = _name(element), []
    if element.attrib:
        found.append(f"{name}: attributes {element.attrib}")
    sequence = SEQUENCES.get(name)
    if sequence is None:
        text = element.text or ""
        known = ONE_OF.get(name)
        if len(element) or not text.strip():
            found.append(f"{name}: must hold a text")
        if known and text not in known:
            found.append(f"{name}: {text!r}")
        pattern = {"sent": TIME, "expires": TIME, "polygon": POLYGON, "circle": CIRCLE,
                   "language": LANGUAGE}.get(name)  # fmt: skip
        if pattern and not pattern.match(text):
            found.append(f"{name}: {text!r}")
        if name == "polygon" and text.split()[0] != text.split()[-1]:
            found.append("polygon: not closed")
        return found
    names = [_name(each) for each in element]
    order = [key for key, _, _ in sequence]
    if any(each not in order for each in names):
        return [*found, f"{name}: holds {names}"]
    if names != sorted(names, key=order.index):
        found.append(f"{name}: out of order: {names}")
    for key, least, most in sequence:
        if names.count(key) < least or (most and names.count(key) > most):
            found.append(f"{name}: {names.count(key)} of {key}")
    return found + [each for child in element for each in _wrong_element(child)]


def text_of(payload: bytes, *path: str) -> str:
    place = "/".join(f"{{{NAMESPACE}}}{name}" for name in path)
    return ET.fromstring(payload).findtext(place, "")

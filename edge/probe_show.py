"""What `talus probe` says: the devices that are there, or what was found on one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.probe_finding import is_readable, stanza

if TYPE_CHECKING:
    from edge.probe import Heard, Probed
    from edge.probe_finding import Finding, Place

NAMES = {
    "tw1": "a Talus node (TW1)",
    "gnss": "a GNSS receiver (NMEA, UBX)",
    "lines": "delimited lines",
    "sdi12": "SDI-12 sensors",
    "modbus": "Modbus RTU devices",
}


def device_lines(devices: list[tuple[str, str]]) -> list[str]:
    """List what is there, by the names to put into gateway.toml."""
    if not devices:
        return [
            "no serial device is here: is the adapter plugged in?",
            "  dmesg | tail shows what came; a container needs --device",
        ]
    width = max(len(name) for name, _ in devices)
    lines = [f"{name:<{width}}  {what if what != 'n/a' else ''}".rstrip() for name, what in devices]
    return [*lines, "", f"next: talus probe {devices[0][0]}"]


def lines(probed: Probed) -> list[str]:
    """Say what was found; the TOML stands at the end, to be pasted."""
    found, place = probed.finding, probed.place
    if found is None or place is None:
        return _nothing(probed)
    at = f"{place.baud} baud {place.frame}"
    said = [f"# {NAMES[found.protocol]} at {at}", *(f"#   {fact}" for fact in found.seen)]
    if not found.whole and is_readable(found):
        said.append("#   not all is known: probe again with --listen 10")
    if not is_readable(found):
        return [*said, "# no [[port]] can be written for it yet"]
    return [*said, "", *stanza(place, found)]


def json_values(probed: Probed) -> dict[str, Any]:
    """Give the same as one object."""
    found, place = probed.finding, probed.place
    return {
        "device": probed.device,
        "protocol": found.protocol if found else None,
        "baud": place.baud if place else None,
        "frame": place.frame if place else None,
        "seen": list(found.seen) if found else [],
        "whole": found.whole if found else False,
        "toml": _toml(place, found) if found and place and is_readable(found) else None,
        "ended_early": probed.ended_early,
        "heard": [
            {
                "baud": each.baud,
                "frame": each.frame,
                "bytes": each.size,
                "begins": each.first.decode("latin-1"),
                "text": each.is_text,
            }
            for each in probed.heard
        ],
    }


def _toml(place: Place, found: Finding) -> str:
    return "\n".join(stanza(place, found)) + "\n"


def _nothing(probed: Probed) -> list[str]:
    came = [each for each in probed.heard if each.size]
    early = ["the time was over before all was tried: --seconds"] if probed.ended_early else []
    if not came:
        return [
            f"{probed.device}: nothing speaks, and nothing answers",
            "  is the sensor powered, and its TX wired to RX (RS-485: A to A, B to B)?",
            "  if it speaks rarely: talus probe PORT --baud 9600 --listen 70",
            "  a Modbus address above 16: --protocol modbus --addresses 1-247",
            *(f"  {each}" for each in early),
        ]
    best = max(came, key=_legible)
    what = "text at" if best.is_text else "bytes come, and nothing is understood, as at"
    return [
        f"{probed.device}: {what} {best.baud} baud {best.frame}: {best.first!r}",
        *(f"  {each}" for each in early),
        *(
            ["  nothing was asked, as a bus may have a master: --protocol asks all the same"]
            if probed.not_asked
            else []
        ),
        "  if the baud rate is known: talus probe PORT --baud N --listen 10",
    ]


def _legible(heard: Heard) -> tuple[bool, int]:
    return heard.is_text, sum(32 <= byte < 127 for byte in heard.first)

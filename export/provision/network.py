"""The network of a gateway, in the forms that its system reads: netplan, and NetworkManager."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.provision.site import Site

_NAMES = uuid.UUID("6f2b1f0e-6a55-4c7e-9a53-1d2f5d0f7a10")


def network_config(site: Site) -> str:
    """Return network-config (netplan, version 2) for cloud-init; cellular is NetworkManager's."""
    lines = ["# Written by talus-export provision. The Wi-Fi key leaves this file at first boot.",
             "network:", "  version: 2"]  # fmt: skip
    if site.ethernet is not None:
        lines += ["  ethernets:", "    eth0:", "      optional: true"]
        if not site.ethernet.address:
            lines += ["      dhcp4: true"]
        else:
            lines += ["      dhcp4: false", f"      addresses: [{_quoted(site.ethernet.address)}]"]
        if site.ethernet.router:
            default = "0.0.0.0/0" if "." in site.ethernet.router else "::/0"
            lines += ["      routes:", f"        - to: {_quoted(default)}",
                      f"          via: {_quoted(site.ethernet.router)}"]  # fmt: skip
        if site.ethernet.dns:
            dns = ", ".join(_quoted(each) for each in site.ethernet.dns)
            lines += ["      nameservers:", f"        addresses: [{dns}]"]
    if site.wifi is not None:
        lines += ["  wifis:", "    wlan0:", "      dhcp4: true", "      optional: true",
                  f"      regulatory-domain: {_quoted(site.country)}", "      access-points:",
                  f"        {_quoted(site.wifi.ssid)}:"]  # fmt: skip
        if site.wifi.password:
            lines += [f"          password: {_quoted(wifi_key(site))}"]
        else:
            lines[-1] += " {}"
    return "\n".join(lines) + "\n"


def connections(site: Site, *, everything: bool) -> dict[str, str]:
    """Return NetworkManager's files: cellular, and with ``everything`` Wi-Fi and cable too."""
    found = {}
    if site.cellular is not None:
        gsm = {"apn": site.cellular.apn, "username": site.cellular.username,
               "password": site.cellular.password, "pin": site.cellular.pin}  # fmt: skip
        parts = {"gsm": {k: v for k, v in gsm.items() if v}, "ipv4": {"method": "auto",
                 "route-metric": "700"}, "ipv6": {"method": "auto"}}  # fmt: skip
        found["talus-cellular.nmconnection"] = _keyfile(site, "cellular", "gsm", parts)
    if everything and site.wifi is not None:
        parts = {"wifi": {"mode": "infrastructure", "ssid": site.wifi.ssid}}
        if site.wifi.password:
            parts["wifi-security"] = {"key-mgmt": "wpa-psk", "psk": wifi_key(site)}
        parts |= {"ipv4": {"method": "auto"}, "ipv6": {"method": "auto"}}
        found["talus-wifi.nmconnection"] = _keyfile(site, "wifi", "wifi", parts)
    if everything and site.ethernet is not None and site.ethernet.address:
        own, none = ("ipv4", "ipv6") if "." in site.ethernet.address else ("ipv6", "ipv4")
        ip = {"method": "manual", "address1": site.ethernet.address}
        ip["address1"] += f",{site.ethernet.router}" if site.ethernet.router else ""
        ip |= {"dns": ";".join(site.ethernet.dns) + ";"} if site.ethernet.dns else {}
        parts = {"ethernet": {}, own: ip, none: {"method": "auto"}}
        found["talus-cable.nmconnection"] = _keyfile(site, "cable", "ethernet", parts)
    return found


def wifi_key(site: Site) -> str:
    """Return the key that a network's password stands for: of use in that network alone."""
    assert site.wifi is not None
    salt = site.wifi.ssid.encode()
    return hashlib.pbkdf2_hmac("sha1", site.wifi.password.encode(), salt, 4096, 32).hex()


def _keyfile(site: Site, what: str, kind: str, parts: dict[str, dict[str, str]]) -> str:
    name = f"talus-{what}"
    head = {"id": name, "uuid": str(uuid.uuid5(_NAMES, f"{site.name}/{what}")), "type": kind}
    lines = []
    for section, values in ({"connection": head} | parts).items():
        pairs = [f"{key}={_escaped(value)}" for key, value in values.items()]
        lines += [f"[{section}]", *pairs, ""]
    return "\n".join(lines)


def _escaped(value: str) -> str:
    r"""Return a value of a GLib key file: a blank at its ends must be \s, a backslash two."""
    text = value.replace("\\", "\\\\")
    lead = len(text) - len(text.lstrip(" "))
    text = "\\s" * lead + text[lead:]
    tail = len(text) - len(text.rstrip(" "))
    return text[: len(text) - tail] + "\\s" * tail


def _quoted(text: str) -> str:
    """Return a text that YAML reads as it is: JSON is YAML."""
    return json.dumps(text)

"""The card of a gateway that is flashed and booted here: its site, its nodes, its image."""

from __future__ import annotations

import os
from itertools import takewhile
from typing import TYPE_CHECKING

from relay_judge import LEVELS, hot_rows

from edge.bench import demo_bundle
from export.__main__ import main as talus_export
from export.image.layout import MIB
from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.simulator import PtyNode, SimulatedNode, describe

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

NAME = "vm1"
INTERVAL_S = 0.2
EVERY = 5
"""Rows between two changes of level at the station that is never quiet."""
BOARD_MM = 0.1
"""Where the slope of the board is alarmed: it creeps by 5 um a sample."""
CARD_MIB = 256
"""More than the image takes: the data partition is to grow."""
_SITE = f'[gateway]\nname = "{NAME}"\nconfig = "gateway.toml"\ncountry = "NO"\n'
_HEAD = f"""\
[gateway]
name = "{NAME}"
data_dir = "/var/lib/talus"
telemetry_every_s = 0.5
health_every_s = 5
snapshot_every_s = 5
[trust]
allow_unsigned = true
[remote]
allow_unsigned_commands = true
[mqtt]
host = "10.0.2.2"
port = PORT
keepalive_s = 20
"""
_PORT = '[[port]]\nname = "{0}"\ndevice = "/dev/serial/by-id/*{0}*"\nprotocol = "tw1"\n'


def gateway_toml(port: int, *, firmware: bool) -> str:
    """Return its configuration.

    Stations: "slope", of the demo, watched by models; "hot", whose level follows a value at once;
    with ``firmware`` "board", fed by the C node on a Cortex-M3.
    """
    return f"{_HEAD.replace('PORT', str(port))}\n{stations_toml(firmware=firmware)}"


def stations_toml(*, firmware: bool) -> str:
    """Return its ports and stations."""
    demo = (demo_bundle().parent / "gateway.toml").read_text(encoding="utf-8")
    slope = demo[demo.index("[[station]]") :].replace('port = "node"', 'port = "slope"')
    slope = slope.replace("no_data_after_s = 7200", "no_data_after_s = 864000")
    text = [_PORT.format(name) + 'clock = "node"' for name in ("slope", "hot")]
    text += [_PORT.format("board")] if firmware else []
    text += [slope, _station("hot", INTERVAL_S, ("hot", "load"), "raw", range(1, LEVELS))]
    if firmware:
        text.append(_station("board", 1.0, ("displacement",), "mm", (BOARD_MM,)))
    return "\n".join(text) + "\n"


def _station(
    name: str, step_s: float, channels: Sequence[str], unit: str, above: Sequence[float]
) -> str:
    """Return a station whose level is how many of these the first channel's value exceeds."""
    quantity = 'quantity = "displacement"\n' if unit == "mm" else ""
    text = [f'[[station]]\nname = "{name}"\nstep_s = {step_s}\nno_data_after_s = 86400']
    text.append('decision = { profile = "none", latch_level = 5 }')
    text += [
        f'[[station.channel]]\nname = "{each}"\nport = "{name}"\nunit = "{unit}"\n{quantity}'
        for each in channels
    ]
    text += [
        f'[[station.rule]]\nname = "level {level}"\nlevel = {level}\nvalid_s = 0\n'
        f'when = [{{ evidence = "value", above = {value}, channels = ["{channels[0]}"] }}]'
        for level, value in enumerate(above, 1)
    ]
    return "\n".join(text)


def make_hot(quiet: threading.Event, seed: int) -> PtyNode:
    """Return a node whose level changes again and again, until it is to be quiet."""
    channels = [
        Channel(name, Quantity.OTHER, Unit.RAW, -1e9, 1e9, round(INTERVAL_S * 1000))
        for name in ("hot", "load")
    ]
    return PtyNode(
        SimulatedNode(describe(channels), stats_every=100),
        takewhile(lambda _: not quiet.is_set(), hot_rows((EVERY,), seed)),
        interval_s=INTERVAL_S,
        step_us=round(INTERVAL_S * 1e6),
    )


def make_card(folder: Path, deb: Path, root: Path, config: str, suite: str) -> Path:
    """Provision and build the image, as a person does; returns a card with room left on it."""
    (folder / "site.toml").write_text(_SITE, encoding="utf-8")
    (folder / "gateway.toml").write_text(config, encoding="utf-8")
    card, image = folder / "card", folder / "card.img"
    _run("provision", "--site", folder / "site.toml", "--bundle", demo_bundle(), "--deb", deb,
         "--suite", suite, "--out", card)  # fmt: skip
    _run("image", "--root", root, "--card", card, "--boot-mb", "64", "--data-mb", "32",
         "--out", image)  # fmt: skip
    os.truncate(image, image.stat().st_size + CARD_MIB * MIB)
    return image


def _run(*words: str | Path) -> None:
    if talus_export([str(word) for word in words]):
        raise RuntimeError(f"talus-export {words[0]} failed")

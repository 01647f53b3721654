"""From what the command line says of a node to its `Target`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from firmware_bridge.devices import find
from firmware_bridge.update_loaders import Avrdude, Esptool, Program, Stm32loader
from firmware_bridge.update_node import NodeLine
from firmware_bridge.update_programs import ProgramTarget
from firmware_bridge.update_sim_file import SimFileTarget
from firmware_bridge.update_target import TargetError

if TYPE_CHECKING:
    from firmware_bridge.update_journal import Setup
    from firmware_bridge.update_target import Target

KINDS = ("mcuboot", "esp32", "stm32", "avr", "sim")
ESP_ADDRESS = 0x10000
"""Where ESP-IDF and Arduino put the application, unless told otherwise."""
STM_ADDRESS = 0x0800_0000
MAX_ADDRESS = 2**32 - 1


def missing(setup: Setup) -> str:
    """Say which option this kind of target needs or cannot have; "" if none."""
    if setup.target == "stm32" and not setup.part:
        return "--part: the family is needed, such as F1 (stm32loader --help lists them)"
    if setup.target == "stm32" and setup.address != STM_ADDRESS:
        return "--address: an STM32 is erased as a whole: its image begins at 0x8000000"
    if setup.target == "avr" and not (setup.part and setup.programmer):
        return "--part and --programmer are needed, such as m328p and arduino (avrdude -p ?)"
    if setup.target == "avr" and setup.address:
        return "--address: an AVR's image begins at 0"
    return ""


def default_address(kind: str) -> int:
    """Give where the image of such a target begins unless told otherwise."""
    return {"esp32": ESP_ADDRESS, "stm32": STM_ADDRESS}.get(kind, 0)


def make_target(setup: Setup, folder: Path) -> Target:
    """Give the target; `folder` is for the backup. TargetError: a program or package is missing."""
    if setup.target == "sim":
        return SimFileTarget(Path(setup.port))
    line = NodeLine(setup.port, setup.data_baud)
    if setup.target == "mcuboot":
        try:
            from firmware_bridge.update_smp import SmpTarget
        except ModuleNotFoundError as error:
            what = "is not installed: pip install 'talus-edge[mcuboot]'"
            raise TargetError(f"mcuboot: {error.name} {what}") from error
        return SmpTarget(setup.port, line, setup.baud)
    return ProgramTarget(_program(setup), folder, line, setup.baud)


def _program(setup: Setup) -> Program:
    device, reason = find(setup.port)
    if reason:
        raise TargetError(f"{setup.port}: {reason}")
    if setup.target == "esp32":
        return Esptool(device, setup.baud, setup.part, setup.address)
    if setup.target == "stm32":
        return Stm32loader(device, setup.baud, setup.part, setup.address)
    return Avrdude(device, setup.baud, setup.part, setup.programmer)

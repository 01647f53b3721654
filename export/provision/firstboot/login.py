"""Logging in from afar, and the country of the radio.

cloud-init (Trixie) does both once, and never again where the power goes meanwhile. So the first
boot does them too, until both were done for a card, and tells what came of it. That one cannot be
done keeps nothing waiting.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from export.provision.firstboot.place import StepError, command

if TYPE_CHECKING:
    from export.provision.firstboot.card import Card
    from export.provision.firstboot.place import Place

LOGIN = "login"


def open_login(place: Place, card: Card) -> str:
    """Let people log in by ssh, and the radio send; returns what came of it."""
    if place.did(LOGIN, card.id):
        return "as the card says"
    wanted = {
        "ssh is on": ("systemctl", "enable", "--now", "ssh"),
        f"Wi-Fi country {card.country}": (
            "raspi-config", "nonint", "do_wifi_country", card.country,
        ),
    }  # fmt: skip
    said = []
    lacking = False
    for what, words in wanted.items():
        if shutil.which(words[0]) is None:
            said.append(f"not {what}: no {words[0]} here")
            lacking = True
            continue
        try:
            command(*words)
        except StepError as error:
            said.append(f"not {what}: {error}")
            lacking = True
        else:
            said.append(what)
    if not lacking:  # else once more at the next boot
        place.note(LOGIN, card.id)
    return ", ".join(said)

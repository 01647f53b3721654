"""What stands on the card: a manifest with the sha256 of each file, proven before any is used."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from export.provision.firstboot.place import StepError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "manifest.json"
FORMAT = 1
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_FILES = 20_000
_COUNTRY = re.compile("[A-Z]{2}")
AGAIN = "write the card again with talus-export provision"


@dataclass(frozen=True, slots=True)
class Copy:
    """A file or folder of the card, and where on the gateway it goes."""

    source: str
    target: str
    mode: int


@dataclass(frozen=True, slots=True)
class Trusted:
    """Where the certificates go. ``made``: key and certificate are on the card already."""

    ca: str
    cert: str
    key: str
    made: bool


@dataclass(frozen=True, slots=True)
class Card:
    """A card, as its manifest says. ``files``: path to sha256. ``made_s``: s since 1970."""

    id: str
    gateway: str
    made_s: int
    packages: tuple[str, ...]
    package: str
    version: str
    copies: tuple[Copy, ...]
    connections: tuple[str, ...]
    tls: Trusted | None
    files: dict[str, str]
    country: str = ""
    """Of the radio, where cloud-init would set it; "": something else has."""


def read_card(folder: Path) -> Card:
    """Read the manifest. Raises StepError."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            content = file.read(MAX_MANIFEST_BYTES + 1)
        values = json.loads(content)
        if values["format"] != FORMAT or len(content) > MAX_MANIFEST_BYTES:
            raise StepError("the card was written by another Talus", AGAIN)
        return _card(values, hashlib.sha256(content).hexdigest()[:16])
    except OSError as error:
        raise StepError(f"talus/{MANIFEST}: {error.strerror}", AGAIN) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StepError(f"talus/{MANIFEST} is damaged", AGAIN) from error


def _card(values: dict[str, Any], id: str) -> Card:
    files = {str(k): str(v) for k, v in values["files"].items()}
    if len(files) > MAX_FILES or any(not _inside(name) for name in files):
        raise ValueError("files")
    tls, country = values["tls"], str(values.get("country", ""))
    return Card(
        id=id,
        gateway=str(values["gateway"]),
        made_s=int(values["made_s"]),
        packages=tuple(_known(str(name), files) for name in values["packages"]),
        package=str(values["package"]),
        version=str(values["version"]),
        copies=tuple(Copy(str(c["from"]), str(c["to"]), int(c["mode"])) for c in values["copies"]),
        connections=tuple(str(name) for name in values["connections"] if _inside(str(name))),
        tls=Trusted(**{key: tls[key] for key in ("ca", "cert", "key", "made")}) if tls else None,
        files=files,
        country=country if _COUNTRY.fullmatch(country) else "",
    )


def _inside(name: str) -> bool:
    return bool(name) and not name.startswith("/") and ".." not in name.split("/")


def _known(name: str, files: dict[str, str]) -> str:
    if name not in files:
        raise ValueError(name)
    return name


def prove(folder: Path, card: Card) -> int:
    """Compare each file with its sha256; returns how many. Raises StepError naming the damaged."""
    wrong = [name for name, wanted in sorted(card.files.items()) if sha256(folder / name) != wanted]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        what = (
            f"damaged or missing on the card: {', '.join(wrong[:3])}{more}; nothing was installed"
        )
        raise StepError(what, f"{AGAIN}; if it happens again, take another card")
    return len(card.files)


def sha256(path: Path) -> str:
    """Return the sha256 of a file, "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""

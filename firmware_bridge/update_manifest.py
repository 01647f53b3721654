"""The signed manifest of a firmware image, and when an update is refused.

JSON with exactly five keys, signed as it stands (docs/flash.md):

    {"board": "node-m3", "version": "1.4.0", "size": 20480, "sha256": "...", "counter": 1760000000}
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_bridge.update_target import Identity

MAX_MANIFEST_BYTES = 4096
MAX_IMAGE_BYTES = 16 * 1024 * 1024
MAX_COUNTER = 2**53
MIN_BATTERY_MV = 3300
"""Least battery of an update unless told otherwise, mV."""
_KEYS = ("board", "version", "size", "sha256", "counter")
_BOARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,63}")
_VERSION = re.compile(r"(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})\.(0|[1-9]\d{0,4})", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestError(ValueError):
    """A manifest, signature or image that must not be used; the text says what to do."""


@dataclass(frozen=True, slots=True)
class FirmwareManifest:
    """What a signed image is, and for which board."""

    board: str
    version: tuple[int, int, int]
    size: int
    """Bytes."""
    sha256: str
    """Of the image file, 64 hex digits."""
    counter: int
    """Raised with every signing: a lower one than the node has run is refused."""

    @property
    def version_text(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What must hold before a node is touched."""

    min_battery_mv: int = MIN_BATTERY_MV
    """0: the node has no battery, or does not measure it."""
    counter_floor: int | None = None
    """Highest counter that this gateway knows was confirmed on this node; None: not known."""


def read_manifest(
    content: bytes, signature: bytes, verify: Callable[[bytes, bytes], str]
) -> tuple[FirmwareManifest, str]:
    """Give the manifest and the id of the key that signed it. ManifestError says what is wrong.

    Nothing of the content is looked at before its signature has been verified.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"manifest: larger than {MAX_MANIFEST_BYTES} bytes: not one of ours")
    try:
        key = verify(content, signature)
    except ValueError as error:
        raise ManifestError(str(error)) from error
    return parse_manifest(content), key


def parse_manifest(content: bytes) -> FirmwareManifest:
    """Parse the manifest. ManifestError names the key that is wrong."""
    if len(content) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"manifest: larger than {MAX_MANIFEST_BYTES} bytes: not one of ours")
    try:
        data = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"manifest: not JSON: {str(error)[:80]}") from error
    if not isinstance(data, dict):
        raise ManifestError("manifest: must be a table of " + ", ".join(_KEYS))
    wrong = sorted(set(data) ^ set(_KEYS))
    if wrong:
        raise ManifestError(f"manifest: {wrong[0][:40]!r}: has exactly {', '.join(_KEYS)}")
    version = _text(data, "version", _VERSION, "three numbers such as 1.4.0")
    first, second, third = map(int, version.split("."))
    return FirmwareManifest(
        _text(data, "board", _BOARD, "1 to 64 letters, digits and . _ : / @ -"),
        (first, second, third),
        _number(data, "size", 1, MAX_IMAGE_BYTES),
        _text(data, "sha256", _SHA256, "64 hex digits in lower case"),
        _number(data, "counter", 0, MAX_COUNTER),
    )


def check_image(manifest: FirmwareManifest, image: bytes) -> None:
    """Raise ManifestError unless this is the image of the manifest."""
    if len(image) != manifest.size:
        raise ManifestError(
            f"image: {len(image)} bytes, the manifest says {manifest.size}: copy both again"
        )
    if hashlib.sha256(image).hexdigest() != manifest.sha256:
        raise ManifestError("image: is not the one that was signed (sha256): copy both again")


def refusal(
    manifest: FirmwareManifest, identity: Identity, conditions: Conditions, alarm: str
) -> str:
    """Say why this node must not take this image now; "" where it may. `alarm`: which is raised."""
    if identity.board != manifest.board:
        return f"this is a {identity.board}, the image is for {manifest.board}: take another image"
    if identity.slot_bytes is not None and manifest.size > identity.slot_bytes:
        return f"{manifest.size} bytes do not fit into the {identity.slot_bytes} of a slot"
    if not identity.confirmed:
        return "the image that runs is on trial: reset the node, so that it runs a confirmed one"
    return _downgrade(manifest, identity, conditions) or unfit(identity, conditions, alarm)


def unfit(identity: Identity, conditions: Conditions, alarm: str) -> str:
    """Say why the node must be left alone for now: the battery, an alarm; "" where it need not."""
    if alarm:
        return f"alarm raised: {alarm}: a node is not updated while it is needed"
    if conditions.min_battery_mv <= 0:
        return ""
    if identity.battery_mv is None:
        return "battery not measured: give --min-battery 0 if the node is on mains or charged"
    if identity.battery_mv < conditions.min_battery_mv:
        least = conditions.min_battery_mv
        return f"battery at {identity.battery_mv} mV, at least {least} needed: charge it first"
    return ""


def _downgrade(manifest: FirmwareManifest, identity: Identity, conditions: Conditions) -> str:
    known = [c for c in (identity.counter, conditions.counter_floor) if c is not None]
    again = "to go back on purpose, sign that image again with a higher counter"
    if known:
        if manifest.counter < max(known):
            return f"downgrade: counter {manifest.counter}, the node has run {max(known)}: {again}"
        return ""
    # The first update from here, of a node that keeps no counter: only the version can tell.
    if identity.version is not None and manifest.version < identity.version:
        runs = ".".join(map(str, identity.version))
        return f"downgrade: version {manifest.version_text}, the node runs {runs}: take a newer one"
    return ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is given twice: two readers could see two manifests."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is given twice")
    return table


def _text(data: dict[str, Any], key: str, form: re.Pattern[str], what: str) -> str:
    value = data[key]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ManifestError(f"manifest: {key}: must be {what}")
    return value


def _number(data: dict[str, Any], key: str, low: int, high: int) -> int:
    value = data[key]
    if type(value) is not int or not low <= value <= high:
        raise ManifestError(f"manifest: {key}: must be a whole number, {low} to {high}")
    return value

"""What the gateway that is reached from afar runs: configuration, signed bundle, card, package."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from flash_afar_desk import talus_export
from flash_card import CARD_MIB, NAME, stations_toml

from edge.bench import demo_bundle
from edge.bundle_install import MANIFEST
from export.image.layout import MIB

if TYPE_CHECKING:
    from flash_afar_desk import Desk

ARCH = "arm64"
ROOT_MIB = "1200"
"""Of the root partition: two releases are kept, and a third has to find room beside them."""
_KEPT = "float16.tflite"
"""No more of a bundle than one runtime needs."""
_SOURCES = ("edge", "export", "firmware_bridge")
_VERSION = re.compile(r'(?m)^__version__ = "[^"]*"$')
_SITE = """\
[gateway]
name = "{name}"
config = "gateway.toml"
country = "NO"
[broker]
ca = "broker/authority/ca.crt"
token = "broker/enrol/{name}.json"
"""
_HEAD = """\
# {mark}
[gateway]
name = "{name}"
data_dir = "/var/lib/talus"
telemetry_every_s = 0.5
health_every_s = 5
snapshot_every_s = 5
[trust]
keys = ["{site}"]
[remote]
keys = ["{room}"]
trial_h = 0.005
{mqtt}keepalive_s = 20
"""


def gateway_toml(desk: Desk, mark: str) -> str:
    """Return a configuration without anything that is unsigned; ``mark``: its first line."""
    head = _HEAD.format(
        mark=mark, name=NAME, site=desk.public("site"), room=desk.public("room"),
        mqtt=desk.mqtt_table(),
    )  # fmt: skip
    return head + stations_toml(firmware=False)


def make_bundle(desk: Desk, version: int) -> Path:
    """Make the demo's bundle with another version, signed as the site's."""
    folder = desk.folder / f"bundle-{version}"
    shutil.copytree(demo_bundle(), folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for model in (manifest["forecaster"], *manifest["detectors"]):
        model["artifacts"] = [each for each in model["artifacts"] if _KEPT in each["file"]]
    manifest["files"] = {
        name: sha256
        for name, sha256 in manifest["files"].items()
        if _KEPT in name or Path(name).suffix not in {".tflite", ".onnx", ".npz"}
    }
    manifest["version"] = version
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    talus_export("sign", folder, "--key", desk.keys["site"])
    return folder


def make_package(desk: Desk, suite: str, version: str = "") -> Path:
    """Make the slim package; with ``version`` of the code here under another version."""
    out = desk.folder / f"deb-{version or 'first'}"
    out.mkdir()
    source = copy_of_the_code(desk.folder / f"source-{version}", version) if version else None
    talus_export("deb", "--arch", ARCH, "--suite", suite, "--slim", "--out", out, at=source)
    (path,) = out.glob("*.deb")
    return path


def copy_of_the_code(folder: Path, version: str) -> Path:
    """Copy the code, as whoever releases a version has it."""
    root = Path(__file__).resolve().parent.parent
    for name in _SOURCES:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "edge/__init__.py"
    text, count = _VERSION.subn(f'__version__ = "{version}"', path.read_text(encoding="utf-8"))
    if count != 1:
        raise RuntimeError(f"{path}: has no __version__")
    path.write_text(text, encoding="utf-8")
    return folder


def make_card(desk: Desk, deb: Path, root: Path, suite: str) -> Path:
    """Provision with the token and build the image; returns a card with room left on it."""
    folder = desk.folder
    (folder / "site.toml").write_text(_SITE.format(name=NAME), encoding="utf-8")
    (folder / "gateway.toml").write_text(gateway_toml(desk, "first"), encoding="utf-8")
    card, image = folder / "card", folder / "card.img"
    print(talus_export(
        "provision", "--site", folder / "site.toml", "--bundle", make_bundle(desk, 1),
        "--deb", deb, "--suite", suite, "--out", card,
    ).strip())  # fmt: skip
    talus_export("image", "--root", root, "--card", card, "--boot-mb", "64", "--root-mb", ROOT_MIB,
                 "--data-mb", "32", "--out", image)  # fmt: skip
    os.truncate(image, image.stat().st_size + CARD_MIB * MIB)
    return image

"""``talus-export sign-firmware``: the signed manifest of a sensor node's firmware image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """\
examples:
  talus-export sign-firmware app.bin --board nrf52840dk/nrf52840 --version 1.4.0 --key talus.key
  talus-export sign-firmware app.bin --board esp32-c3 --version 1.4.0 --key talus.key \\
      --out app-1.4.0.json

Writes app.json and app.json.minisig, which talus-flash takes together with the image. The board
is what `talus-flash identify` prints. The counter becomes the time of signing (seconds since
1970): a node does not take an image with a lower one than it has run; to go back on purpose, sign
the older image again.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sign-firmware",
        help="sign a firmware image for talus-flash",
        description="Describe a firmware image in a manifest, and sign that (minisign).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", type=Path, metavar="IMAGE")
    parser.add_argument("--board", required=True)
    parser.add_argument("--version", required=True, metavar="X.Y.Z")
    parser.add_argument("--key", type=Path, required=True, metavar="talus.key")
    parser.add_argument("--counter", type=int, metavar="N", help="default: the time, s since 1970")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: IMAGE with .json")
    parser.add_argument("--password-file", type=Path, metavar="FILE",
                        help="its first line is the password (default: asked for)")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Sign, and say with which counter. Raises TalusError."""
    import time

    from edge.errors import TalusError
    from export.firmware import firmware_manifest, sign_firmware
    from export.password import from_file, typed
    from export.secret_key import MAX_KEY_FILE_BYTES, parse_secret, unlock

    out = args.out or args.image.with_suffix(".json")
    if out == args.image:
        raise TalusError(f"{out}: would be written over the image: give --out")
    now_s = int(time.time())
    counter = now_s if args.counter is None else args.counter
    content = firmware_manifest(args.image, args.board, args.version, counter)
    with args.key.open("rb") as file:
        locked = parse_secret(file.read(MAX_KEY_FILE_BYTES + 1), str(args.key))
    password = b""
    if locked.encrypted:
        given = args.password_file
        password = from_file(given) if given else typed(f"password of {args.key}")
    key = unlock(locked, password)
    sign_firmware(out, content, key, now_s)
    print(
        f"{out}: {args.image.name} for {args.board}, version {args.version}, "
        f"signed by {key.public.id}, counter {counter}"
    )

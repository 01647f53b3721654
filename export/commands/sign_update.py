"""``talus-export sign-update``: a configuration or package that gateways take from afar."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """\
examples:
  talus-export sign-update gateway.toml --kind config --key talus.key
  talus-export sign-update talus-edge_0.2.0_arm64.deb --kind package --key talus.key
  talus-export command --gateway bluff --key room.key --broker broker.example.org --ca ca.crt \\
      install-config gateway.toml                     sends both files; the gateway gathers them
  talus-export command ... commit-update config       it is proven, put in, watched, or taken back
  sudo talus update gateway.toml                      or by hand, on the gateway

Writes FILE.minisig, which holds a counter: the time of signing, s since 1970, unless told
otherwise. A gateway takes no update with a lower counter than one that stayed; to go back on
purpose, sign the older file again. The key is one of [trust] keys, as for bundles.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sign-update",
        help="sign a gateway.toml or a .deb as an update",
        description="Check a configuration or package and sign it as an update (minisign).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--kind", choices=("config", "package"), required=True)
    parser.add_argument("--key", type=Path, required=True, metavar="talus.key")
    parser.add_argument("--counter", type=int, metavar="N", help="default: the time, s since 1970")
    parser.add_argument("--password-file", type=Path, metavar="FILE",
                        help="its first line is the password (default: asked for)")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Sign, and say with which counter. Raises TalusError."""
    import time

    from export.password import from_file, typed
    from export.secret_key import MAX_KEY_FILE_BYTES, parse_secret, unlock
    from export.update_sign import sign_update

    with args.key.open("rb") as file:
        locked = parse_secret(file.read(MAX_KEY_FILE_BYTES + 1), str(args.key))
    password = b""
    if locked.encrypted:
        given = args.password_file
        password = from_file(given) if given else typed(f"password of {args.key}")
    counter = int(time.time()) if args.counter is None else args.counter
    key = unlock(locked, password)
    item = sign_update(args.file, args.kind, key, counter)
    print(f"{args.file}.minisig: {item.label}, {item.size} bytes, signed by {key.public.id}")

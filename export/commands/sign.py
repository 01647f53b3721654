"""``talus-export sign``: a bundle that gateways will arm."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_EXAMPLES = """\
examples:
  talus-export sign bundle/ --key talus.key
  talus-export sign bundle/ --key talus.key --password-file pw.txt
  talus-export sign bundle/ --key talus.key --counter 7

The counter rises with each signature: it becomes the time of signing (seconds since 1970), or
one more than it was if that is higher. A gateway refuses a signed bundle whose counter is below
the highest that it has run under the same name; to go back on purpose, sign the older one again.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sign",
        help="raise the counter of a bundle and sign it",
        description="Check a bundle, raise its counter, and sign its manifest (minisign).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="bundle/")
    parser.add_argument("--key", type=Path, required=True, metavar="talus.key")
    parser.add_argument("--counter", type=int, metavar="N", help="default: as told below")
    parser.add_argument("--password-file", type=Path, metavar="FILE",
                        help="its first line is the password (default: asked for)")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Sign, and say with which counter. Raises TalusError."""
    import time

    from edge.bundle import read_manifest
    from edge.trust import ANY_SIGNER
    from export.password import from_file, typed
    from export.secret_key import MAX_KEY_FILE_BYTES, parse_secret, unlock
    from export.signing import sign_bundle

    read_manifest(args.bundle, ANY_SIGNER)  # before a password is asked for
    with args.key.open("rb") as file:
        locked = parse_secret(file.read(MAX_KEY_FILE_BYTES + 1), str(args.key))
    password = b""
    if locked.encrypted:
        given = args.password_file
        password = from_file(given) if given else typed(f"password of {args.key}")
    done = sign_bundle(args.bundle, unlock(locked, password), int(time.time()), args.counter)
    print(f"{args.bundle}: {done.label} signed by {done.key_id}, counter {done.counter}")
    if done.counter <= done.was:
        print(f"it was {done.was}: a gateway that has run a higher one will refuse this bundle")

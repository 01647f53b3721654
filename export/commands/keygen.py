"""``talus-export keygen``: the key that signs bundles."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge.errors import TalusError

_EXAMPLES = """\
examples:
  talus-export keygen --out talus.key                          asks for a password
  talus-export keygen --out talus.key --password-file pw.txt
  talus-export keygen --out ci.key --no-password               for a machine that signs by itself

Both files are minisign's. Keep the secret key off the gateways and in two places; put the line
that this prints into [trust] of each gateway.toml. docs/signing.md tells how to replace a key.
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "keygen",
        help="make the key that signs bundles",
        description="Make a key pair: the secret key FILE (mode 0600), and FILE with .pub.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="talus.key")
    locked = parser.add_mutually_exclusive_group()
    locked.add_argument("--password-file", type=Path, metavar="FILE",
                        help="its first line is the password (default: asked for)")  # fmt: skip
    locked.add_argument("--no-password", action="store_true", help="whoever has the file can sign")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the two files, print the line for [trust]. Raises TalusError."""
    from export.password import from_file, typed_twice
    from export.secret_key import make_key, public_text, secret_text
    from export.signing import put

    secret: Path = args.out
    public = secret.with_suffix(".pub")
    if public == secret:
        raise TalusError(f"--out {secret}: .pub is the name of the public key: choose another")
    if not secret.parent.is_dir():
        raise TalusError(f"--out {secret}: there is no folder {secret.parent}")
    for path in (secret, public):
        if path.exists() or path.is_symlink():
            raise TalusError(f"{path}: is there already, and a key is never overwritten")
    if args.no_password:
        password = b""
    elif args.password_file:
        password = from_file(args.password_file)
    else:
        password = typed_twice("password for the new key")
    key = make_key()
    put(secret.parent, {secret.name: secret_text(key, password).encode()}, 0o600)
    put(public.parent, {public.name: public_text(key.public).encode()}, 0o644)
    print(f"wrote {secret} (secret: keep it off the gateways) and {public}")
    print(f'for gateway.toml:\n\n[trust]\nkeys = ["{key.public.text}"]  # {key.public.id}')

"""The secret key file of minisign: made, written, read, and unlocked with a password.

158 bytes in base64: algorithms, the salt and limits of scrypt, then key number, secret key and
checksum, XORed with what scrypt makes of the password. A key without a password stands in clear,
and there minisign leaves the checksum zero.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from edge.errors import TalusError
from firmware_bridge.minisign import ID_BYTES, LEGACY, UNTRUSTED, PublicKey

MAX_KEY_FILE_BYTES = 4096
MAX_PASSWORD_BYTES = 1024
OPS_LIMIT = 2**25
MEMORY_LIMIT = 2**30
"""As minisign sets them: 1 GiB of memory and some seconds for each guess at a password."""
_LAYOUT = struct.Struct("<2s2s2s32sQQ104s")
_SCRYPT, _CLEAR, _BLAKE2 = b"Sc", b"\0\0", b"B2"
_COMMENT = UNTRUSTED + "minisign encrypted secret key"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key that can sign: its number, and the 32 bytes from which all else follows."""

    number: bytes
    seed: bytes

    def __repr__(self) -> str:  # a secret in no log
        return f"SecretKey({self.public.id})"

    @property
    def public(self) -> PublicKey:
        """What verifies its signatures."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed)
        return PublicKey(self.number, key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of data, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)


@dataclass(frozen=True, slots=True)
class LockedKey:
    """A secret key file as it was read; ``encrypted`` says whether it takes a password."""

    document: str
    encrypted: bool
    salt: bytes
    ops_limit: int
    memory_limit: int
    sealed: bytes


def make_key() -> SecretKey:
    """Return a new key out of the random numbers of the operating system."""
    return SecretKey(os.urandom(ID_BYTES), os.urandom(32))


def secret_text(
    key: SecretKey,
    password: bytes,
    *,
    ops_limit: int = OPS_LIMIT,
    memory_limit: int = MEMORY_LIMIT,
) -> str:
    """Return the file of a secret key; an empty password leaves it in clear."""
    clear = key.number + key.seed + key.public.key
    if not password:
        packed = _LAYOUT.pack(LEGACY, _CLEAR, _BLAKE2, bytes(32), 0, 0, clear + bytes(32))
    else:
        salt = os.urandom(32)
        stretched = _stretched(password, salt, ops_limit, memory_limit)
        sealed = _xor(clear + _checksum(clear), stretched)
        packed = _LAYOUT.pack(LEGACY, _SCRYPT, _BLAKE2, salt, ops_limit, memory_limit, sealed)
    return f"{_COMMENT}\n{base64.b64encode(packed).decode()}\n"


def parse_secret(data: bytes, document: str) -> LockedKey:
    """Read a secret key file. Raises TalusError that names ``document``, and no secret."""
    if len(data) > MAX_KEY_FILE_BYTES:
        raise TalusError(f"{document}: far too long for a secret key of minisign")
    lines = data.decode("utf-8", "replace").splitlines()
    if len(lines) < 2 or not lines[0].startswith(UNTRUSTED):
        hint = "two lines, the first 'untrusted comment: ...' (talus-export keygen makes one)"
        raise TalusError(f"{document}: is not a secret key of minisign: {hint}")
    try:
        packed = base64.b64decode(lines[1].strip(), validate=True)
        algorithm, kdf, check, salt, ops, memory, sealed = _LAYOUT.unpack(packed)
    except (binascii.Error, ValueError, struct.error) as error:
        what = "is a public key or cut off: the secret key is the other file"
        raise TalusError(f"{document}: {what}") from error
    if algorithm != LEGACY or check != _BLAKE2 or kdf not in (_SCRYPT, _CLEAR):
        raise TalusError(f"{document}: a secret key of a form that this release cannot read")
    if ops > OPS_LIMIT or memory > MEMORY_LIMIT:
        raise TalusError(f"{document}: unlocking it would take more than 1 GiB of memory")
    return LockedKey(document, kdf == _SCRYPT, salt, ops, memory, sealed)


def unlock(locked: LockedKey, password: bytes) -> SecretKey:
    """Return the secret key. Raises TalusError: wrong password, or a damaged file."""
    clear = locked.sealed
    if locked.encrypted:
        stretched = _stretched(password, locked.salt, locked.ops_limit, locked.memory_limit)
        clear = _xor(clear, stretched)
    number, seed, public = clear[:8], clear[8:40], clear[40:72]
    key = SecretKey(number, seed)
    whole = not locked.encrypted or clear[72:] == _checksum(clear[:72])
    if not whole or key.public.key != public:
        why = "wrong password" if locked.encrypted else "damaged: take it from where you keep it"
        raise TalusError(f"{locked.document}: {why}")
    return key


def public_text(key: PublicKey) -> str:
    """Return the .pub file of a public key."""
    return f"{UNTRUSTED}minisign public key {key.id}\n{key.text}\n"


def _checksum(clear: bytes) -> bytes:
    return hashlib.blake2b(LEGACY + clear, digest_size=32).digest()


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def _stretched(password: bytes, salt: bytes, ops_limit: int, memory_limit: int) -> bytes:
    n, p = scrypt_cost(ops_limit, memory_limit)
    try:
        return Scrypt(salt=salt, length=104, n=n, r=8, p=p).derive(password)
    except MemoryError as error:
        text = f"unlocking the key takes {1024 * n * p >> 20} MiB of memory: make room, try again"
        raise TalusError(text) from error


def scrypt_cost(ops_limit: int, memory_limit: int) -> tuple[int, int]:
    """Return N and p of scrypt with r = 8, as libsodium takes them from its two limits."""
    ops_limit = max(ops_limit, 32768)
    by_ops = ops_limit < memory_limit // 32
    most = ops_limit // 32 if by_ops else memory_limit // 1024
    log2 = 1
    while log2 < 63 and 1 << log2 <= most // 2:
        log2 += 1
    p = 1 if by_ops else min(ops_limit // 4 >> log2, 0x3FFFFFFF) // 8
    return 1 << log2, max(p, 1)

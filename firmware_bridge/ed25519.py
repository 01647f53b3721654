"""Ed25519 signatures, verified (RFC 8032) in plain Python: some milliseconds a signature.

As strict as libsodium: S below the group order, canonical encodings only, no point of small
order. Nothing here is secret, so nothing needs constant time; signing is for the workstation.
"""

from __future__ import annotations

import hashlib

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_1 = pow(2, (_P - 1) // 4, _P)

Point = tuple[int, int, int, int]
"""Extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x * y = T/Z (RFC 8032, 5.1.4)."""
_NEUTRAL: Point = (0, 1, 1, 0)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over ``message`` was made with the secret key of ``public_key``."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    a = _decoded(public_key)
    s = int.from_bytes(signature[32:], "little")
    if a is None or s >= _ORDER or _of_small_order(a):
        return False
    r = signature[:32]
    digest = hashlib.sha512(r + public_key + message).digest()
    k = int.from_bytes(digest, "little") % _ORDER
    found = _two_products(s, _BASE, k, _negative(a))
    # The bytes are compared, so that an R of another encoding fails too.
    return _encoded(found) == r and not _of_small_order(found)


def is_sound_key(public_key: bytes) -> bool:
    """Whether these bytes can be a public key: a canonical point, not of small order."""
    point = _decoded(public_key) if len(public_key) == KEY_BYTES else None
    return point is not None and not _of_small_order(point)


def _add(a: Point, b: Point) -> Point:
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    m = (y1 - x1) * (y2 - x2) % _P
    n = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: Point) -> Point:
    x, y, z, _ = point
    a, b = x * x % _P, y * y % _P
    h = a + b
    e = h - (x + y) * (x + y) % _P
    g = a - b
    f = 2 * z * z % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _negative(point: Point) -> Point:
    x, y, z, t = point
    return -x % _P, y, z, -t % _P


def _two_products(s: int, a: Point, k: int, b: Point) -> Point:
    """Return s * a + k * b, both scalars in one walk over their bits."""
    both = _add(a, b)
    found = _NEUTRAL
    for i in range(max(s.bit_length(), k.bit_length()) - 1, -1, -1):
        found = _double(found)
        bits = (s >> i & 1, k >> i & 1)
        if bits != (0, 0):
            found = _add(found, both if bits == (1, 1) else a if bits == (1, 0) else b)
    return found


def _of_small_order(point: Point) -> bool:
    x, y, z, _ = _double(_double(_double(point)))
    return x == 0 and y == z


def _encoded(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(data: bytes) -> Point | None:
    """Return the point of 32 bytes; None where there is none, or the encoding is another's."""
    bits = int.from_bytes(data, "little")
    sign, y = bits >> 255, bits & (1 << 255) - 1
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT_OF_MINUS_1 % _P
    if v * x * x % _P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _base() -> Point:
    point = _decoded((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert point is not None
    return point


_BASE = _base()

"""The hash of an image for MCUboot, as it stands in the image and as it is.

header 32 B (magic, ..., hdr_size, protect_tlv_size, img_size, ...) | body | protected TLVs |
TLVs: one of type 0x10 holds the SHA-256 of all that is before the (unprotected) TLVs
"""

from __future__ import annotations

import hashlib
import struct

MAGIC = 0x96F3B83D
TLV_MAGIC = 0x6907
SHA256_TLV = 0x10
HEADER_BYTES = 32
_HEADER = struct.Struct("<IIHHI")
_INFO = struct.Struct("<HH")
_TLV = struct.Struct("<HH")


def image_hash(image: bytes) -> str:
    """Give the hash that slots report, 64 hex digits. ValueError: no whole image for MCUboot."""
    if len(image) < HEADER_BYTES:
        raise ValueError("image: not signed for MCUboot (imgtool sign)")
    magic, _, header, protected, body = _HEADER.unpack_from(image)
    if magic != MAGIC:
        raise ValueError("image: not signed for MCUboot (imgtool sign)")
    covered = header + body + protected
    found = _hash_tlv(image, covered)
    if found != hashlib.sha256(image[:covered]).digest():
        raise ValueError("image: its MCUboot hash is not of its content: build it again")
    return found.hex()


def _hash_tlv(image: bytes, at: int) -> bytes:
    if at + _INFO.size > len(image):
        raise ValueError("image: cut short: copy it again")
    magic, total = _INFO.unpack_from(image, at)
    end = at + total
    if magic != TLV_MAGIC or end > len(image):
        raise ValueError("image: cut short or damaged: copy it again")
    at += _INFO.size
    while at + _TLV.size <= end:
        kind, size = _TLV.unpack_from(image, at)
        at += _TLV.size
        if kind == SHA256_TLV and size == 32 and at + size <= end:
            return image[at : at + size]
        at += size
    raise ValueError("image: holds no SHA-256: imgtool sign makes it")

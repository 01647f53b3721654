"""Minisign signatures on the gateway: what the real tool signed is taken, all else is refused."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.ed25519 import is_sound_key, verify
from firmware_bridge.minisign import (
    MAX_SIGNATURE_BYTES,
    SignatureError,
    parse_public_key,
    parse_signature,
    verify_content,
)

# Made by minisign 0.11.
KEY = "RWQ46Cx73f062a/Gw3F/IBCrfKzo+phNKdFr5zfDmjp7HZq/rM9BOUSm"
OTHER = "RWQ6P3AZlHZgKohEPNsQjstqVYT/WRbUpyNsWKdyOzSMWZjyaT/mQMav"
CONTENT = b'{"format": 2}\n'
PREHASHED = b"""\
untrusted comment: signature from minisign secret key
RUQ46Cx73f062d91Cp7wMt7CpebyzS0nXqS3QWyg3GxtyPgnpbJ5PSR92coqwud1Q9LaohLGfvcoUvOZ7paDhWauvX2I2sfgfgw=
trusted comment: timestamp:1700000000	file:manifest.json	hashed
zabFbvQqa6ys/Sfkw/11NPTf8WGlMY5GGL9wbnJ0yCOhUSFWCAoXF40hCkR5/TijkCSVe7dYhCueAm8AFN9BDw==
"""
LEGACY = b"""\
untrusted comment: signature from minisign secret key
RWQ46Cx73f062UcuqD/oSeIa3KBEbQvUAF0sTCJhrYIuspvu83XkuMbAwvVVSgD7MOE+ESmsLIinE3rHgZ3wkYPk3vY0r/gc6QQ=
trusted comment: timestamp:1700000000	file:manifest.json
wyC25AG1a5+4PvvTnMF+OYZJhlImWHE5+bjOpiEggLF+WgRMvC6Tpe7PH2jWxO6zXUztjRhYTcfH/fTq5IyCAw==
"""
BOTH = pytest.mark.parametrize("text", [PREHASHED, LEGACY], ids=["prehashed", "legacy"])
ORDER = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19

# RFC 8032, 7.1: public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def refusal(content: bytes, text: bytes, *keys: str) -> str:
    trusted = [parse_public_key(key) for key in keys]
    with pytest.raises(SignatureError) as caught:
        verify_content(content, parse_signature(text, "m.minisig"), trusted, "m.minisig")
    return str(caught.value)


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_the_vectors_of_the_rfc_hold(key: str, message: str, signature: str) -> None:
    a, b, c = (bytes.fromhex(value) for value in (key, message, signature))
    assert verify(a, b, c)
    assert not verify(a, b + b"\0", c)


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.data())
def test_it_agrees_with_openssl_and_one_flipped_bit_is_refused(seed, message, data) -> None:
    secret = Ed25519PrivateKey.from_private_bytes(seed)
    key, signature = secret.public_key().public_bytes_raw(), secret.sign(message)
    assert verify(key, message, signature)
    bit = data.draw(st.integers(0, 511))
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify(key, message, bytes(flipped))
    bit %= 256
    other = bytearray(key)
    other[bit // 8] ^= 1 << bit % 8
    assert not verify(bytes(other), message, signature)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_make_it_raise(key: bytes, signature: bytes) -> None:
    assert not verify(key, b"x", signature)
    is_sound_key(key)


def test_a_signature_has_one_form_only() -> None:
    key, message, signature = (bytes.fromhex(value) for value in RFC_8032[1])
    s = int.from_bytes(signature[32:], "little")
    again = signature[:32] + (s + ORDER).to_bytes(32, "little")
    assert not verify(key, message, again)


@pytest.mark.parametrize("y", [0, 1, P - 1, P, P + 1, 2**255 - 1])
def test_keys_of_small_order_and_of_two_encodings_are_refused(y: int) -> None:
    for sign in (0, 1 << 255):
        key = (y | sign).to_bytes(32, "little")
        assert not is_sound_key(key)
        # With a key of small order, S = 0 and R the neutral element would sign anything.
        assert not verify(key, b"anything", (1).to_bytes(32, "little") + bytes(32))


@BOTH
def test_what_the_real_minisign_signed_is_taken(text: bytes) -> None:
    signature = parse_signature(text, "m.minisig")
    keys = [parse_public_key(key) for key in (OTHER, KEY)]
    assert verify_content(CONTENT, signature, keys, "m.minisig") == keys[1]
    assert signature.id == keys[1].id == "D93AFDDD7B2CE838"
    assert keys[1].text == KEY
    assert signature.trusted_comment.startswith("timestamp:1700000000\tfile:manifest.json")
    assert signature.prehashed == (text is PREHASHED)


@BOTH
def test_what_a_windows_editor_made_of_the_lines_is_taken(text: bytes) -> None:
    found = parse_signature(text.replace(b"\n", b"\r\n"), "m.minisig")
    assert verify_content(CONTENT, found, [parse_public_key(KEY)], "m.minisig").text == KEY


@BOTH
def test_changed_content_another_key_and_a_changed_comment_are_told_apart(text: bytes) -> None:
    assert "is not the signature of this content" in refusal(CONTENT + b" ", text, KEY)
    said = refusal(CONTENT, text, OTHER)
    assert "m.minisig: signed by key D93AFDDD7B2CE838, trusted is 2A60769419703F3A" in said
    changed = text.replace(b"timestamp:17", b"timestamp:18")
    assert "the trusted comment was changed" in refusal(CONTENT, changed, KEY)
    # Prehashed is not legacy: the same bytes say two things.
    mixed = text.replace(b"RUQ4", b"RWQ4") if text is PREHASHED else text.replace(b"RWQ4", b"RUQ4")
    assert "is not the signature of this content" in refusal(CONTENT, mixed, KEY)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from((PREHASHED, LEGACY)), st.data())
def test_one_flipped_bit_is_refused_but_in_the_untrusted_comment(text: bytes, data) -> None:
    free = text.index(b"\n")
    start = len(b"untrusted comment: ")
    at = data.draw(st.integers(0, len(text) - 2).filter(lambda i: not start <= i <= free))
    flipped = bytearray(text)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    assert "m.minisig: " in refusal(CONTENT, bytes(flipped), KEY)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda t: t.encode("utf-8", "replace")))
def test_no_file_makes_it_raise_anything_else(text: bytes) -> None:
    assert "m.minisig: not a minisign signature: " in refusal(CONTENT, text, KEY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "has 1 lines, a signature has 4"),
        (b"x" * (MAX_SIGNATURE_BYTES + 1), f"larger than {MAX_SIGNATURE_BYTES} bytes"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (PREHASHED + b"more\n", "has 5 lines"),
        (PREHASHED[:-6], "line 4 is not a signature"),
        (PREHASHED.replace(b"RUQ4", b"RUR4")[:120], "has 2 lines"),
        (PREHASHED.replace(b"RUQ", b"RVQ"), "line 2 is not a signature"),
        (PREHASHED.replace(b"\tfile", b"\x1b[2Jfile"), "holds control characters"),
        (PREHASHED.replace(b"untrusted", b"distrusted"), "line 1 does not start with"),
    ],
)
def test_what_is_wrong_with_a_signature_file_is_said(text: bytes, said: str) -> None:
    assert said in refusal(CONTENT, text, KEY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it starts with RW"),
        ("untrusted comment: minisign public key", "the second line of the .pub file"),
        (KEY[:-1], "cut off or mistyped"),
        (KEY[:-4] + "\u00e9\u00e9\u00e9\u00e9", "cut off or mistyped"),
        (KEY * 30, "far too long"),
        (base64.b64encode(b"Ed" + bytes(8) + bytes(32)).decode(), "no key that can sign anything"),
    ],
)
def test_what_is_wrong_with_a_public_key_is_said(text: str, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        parse_public_key(text)


@pytest.mark.skipif(not shutil.which("minisign"), reason="NOT TESTED: no minisign here")
@pytest.mark.parametrize("legacy", [True, False])
def test_it_verifies_what_minisign_signs_here(tmp_path: Path, legacy: bool) -> None:
    content = tmp_path / "manifest.json"
    content.write_bytes(bytes(range(256)) * 20)

    def minisign(*arguments: str) -> None:
        subprocess.run(["minisign", *arguments], cwd=tmp_path, capture_output=True, check=True)

    minisign("-G", "-W", "-p", "t.pub", "-s", "t.key")
    minisign("-S", *(["-l"] if legacy else []), "-s", "t.key", "-m", content.name, "-t", "\u00fc x")
    key = parse_public_key((tmp_path / "t.pub").read_text().splitlines()[1])
    signature = parse_signature((tmp_path / "manifest.json.minisig").read_bytes(), "m")
    assert signature.prehashed is not legacy
    assert signature.trusted_comment == "\u00fc x"
    assert verify_content(content.read_bytes(), signature, [key], "m") == key

"""TW1 in Python and in C against the shared vectors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from c_link import compilers, loaded

link_c = loaded()
VECTORS = link_c.load()
HERE = Path(__file__).parent / "vectors"
CODEC_BYTES = 700


@pytest.fixture(scope="module", params=compilers())
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C side, warnings as errors, under ASan and UBSan."""
    return link_c.host_program(tmp_path_factory.mktemp("host"), request.param)


@pytest.mark.parametrize("kind", sorted(link_c.KINDS))
def test_both_sides_do_what_the_vectors_say(kind: str, program: Path) -> None:
    assert link_c.mismatches(kind, VECTORS[kind], program) == []


def test_a_wrong_vector_is_seen(program: Path) -> None:
    *fields, wire = VECTORS["frames"][20]
    assert len(link_c.mismatches("frames", [[*fields, wire[:-4] + "0100"]], program)) == 2
    kind, payload, said, again = next(v for v in VECTORS["messages"] if v[0] == "stats" and v[2])
    wrong = [kind, payload, [said[0] ^ 1, *said[1:]], again]
    assert len(link_c.mismatches("messages", [wrong], program)) == 3


def test_there_are_enough_and_all_kinds() -> None:
    assert sorted(VECTORS) == sorted(link_c.KINDS)
    assert sum(link_c.count(kind, each) for kind, each in VECTORS.items()) >= 4000
    events = {event[0] for vector in VECTORS["streams"] for event in vector[5]}
    assert events == {"frame", "cobs", "short", "crc", "version", "overflow", "partial"}
    said = {(kind, fields is not None) for kind, _, fields, _ in VECTORS["messages"]}
    kinds = {"hello", "describe", "stats", "sync_request", "sync", "get_set", "reboot",
             "enter_update", "resend"}  # fmt: skip
    assert said == {(kind, sense) for kind in kinds for sense in (True, False)}
    samples = [sample for layout in VECTORS["layouts"] for sample in layout["samples"]]
    assert {(s[0], s[2] is not None) for s in samples} == {
        (kind, sense) for kind in ("data", "batch") for sense in (True, False)
    }
    reasons = {reason for s in samples if s[2] for row in s[2][3] for _, reason in row[3]}
    assert reasons == {"invalid", "nan", "inf", "range"}


def test_the_file_is_what_its_seed_makes() -> None:
    made = subprocess.run(
        [sys.executable, HERE / "make_tw1.py", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr


def test_the_maker_uses_nothing_of_what_it_tests() -> None:
    sources = [path.read_text() for path in HERE.glob("*.py")]
    assert len(sources) >= 5
    assert not any("firmware_bridge" in line for text in sources for line in text.splitlines()
                   if line.lstrip().startswith(("import", "from")))  # fmt: skip


@pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None,
    reason="NOT TESTED: the size of the C codec, for want of arm-none-eabi-gcc",
)
def test_the_codec_fits() -> None:
    codec_bytes = link_c.codec_flash_bytes()
    assert 200 < codec_bytes <= CODEC_BYTES
    for cpu in ("cortex-m0plus", "cortex-m4"):
        assert link_c.flash_bytes("tw1.c", cpu) <= CODEC_BYTES


def test_one_call_gives_the_figures() -> None:
    if shutil.which("cc") is None:
        pytest.skip("NOT TESTED: the C side, for want of a host compiler cc")
    assert link_c.vectors_and_mismatches() == (
        sum(link_c.count(kind, each) for kind, each in VECTORS.items()),
        0,
    )
    assert json.dumps(link_c.codec_flash_bytes()) is not None

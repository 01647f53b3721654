"""SMP with the real smpclient, against a node on a pty that boots as MCUboot does."""

from __future__ import annotations

from pathlib import Path

import flash_parts
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("smpclient", reason="NOT TESTED: smpclient is not installed (extra mcuboot)")
import smp_node
from smp_node import SmpNode, make_image
from smpclient.mcuboot import IMAGE_TLV, ImageInfo

from firmware_bridge.mcuboot_image import image_hash
from firmware_bridge.update_journal import Journal, Setup
from firmware_bridge.update_manifest import FirmwareManifest
from firmware_bridge.update_node import NodeLine
from firmware_bridge.update_run import Surroundings, carry_out
from firmware_bridge.update_smp import SmpTarget
from firmware_bridge.update_state import Job, Outcome, State
from firmware_bridge.update_target import TargetError

OLD = make_image()
NEW = make_image((1, 1, 0), 9000)


@pytest.fixture
def node():
    made = SmpNode(OLD)
    yield made
    made.close()


def target_of(node: SmpNode) -> SmpTarget:
    line = NodeLine(node.pty.device, hello_wait_s=2.0, battery_wait_s=1.0, sample_wait_s=1.0)
    return SmpTarget(node.pty.device, line, answer_s=0.4, boot_s=5.0)


def update(node: SmpNode, image: bytes, folder: Path) -> State:
    target = target_of(node)
    job = Job(
        FirmwareManifest(smp_node.BOARD, (1, 1, 0), len(image), "0" * 64, 7),
        target.prepare(image), 2, 2048,
    )  # fmt: skip
    if Journal.read(folder) is None:
        Journal.start(folder, Setup("mcuboot", "x", "x"), 0)
    journal = Journal.read(folder)
    assert journal is not None
    quiet = Surroundings(lambda: 0, lambda: None, lambda: "", lambda: None, lambda _: None)
    return carry_out(job, image, target, journal, quiet)


def test_who_it_is_and_what_runs(node) -> None:
    found = target_of(node).identify()
    assert (found.board, found.running) == (smp_node.BOARD, image_hash(OLD))
    assert (found.confirmed, found.slots, found.version) == (True, 2, (1, 0, 0))
    assert found.battery_mv == 3700


def test_the_whole_road_by_command(node, tmp_path) -> None:
    flash_parts.signed(tmp_path, NEW, smp_node.BOARD)
    made = flash_parts.Parts(tmp_path)
    options = ["--no-gateway", "--journal", str(made.journal)]
    code, said = flash_parts.flash(made.options(*options, target="mcuboot", port=node.pty.device))
    assert code == 0, said
    assert (node.primary, node.confirmed, node.pending) == (NEW, True, False)
    node.power_cut()
    assert node.primary == NEW


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (make_image((1, 1, 0), value=11.0), "samples are out of low..high"),
        (make_image((1, 1, 0), lies=True), "another hash started"),
        (make_image((1, 1, 0), boots=False), "did not last in 2 test boots"),
    ],
)
def test_an_image_that_fails_its_trial_goes(node, tmp_path, image, said) -> None:
    state = update(node, image, tmp_path)
    assert (state.outcome, said in state.detail) == (Outcome.REVERTED, True), state
    assert (node.primary, node.confirmed, node.pending) == (OLD, True, False)


@pytest.mark.parametrize("first", range(4))
def test_a_power_cut_or_a_lost_answer_at_any_request(node, tmp_path, first: int) -> None:
    """At a spread of the requests of an update, each a node and an update of its own."""
    clean = SmpNode(OLD)
    folder = tmp_path / "clean"
    folder.mkdir()
    assert update(clean, NEW, folder).outcome is Outcome.CONFIRMED
    clean.close()
    for at in range(first, clean.requests, 8 if first < 2 else 16):
        node.primary, node.secondary, node.confirmed = OLD, b"", True
        node.power_cut()
        node.requests = 0
        if first % 2:
            node.silent = {at}
        else:
            node.cut_at = at
        folder = tmp_path / str(at)
        folder.mkdir()
        state = update(node, NEW, folder)
        node.silent, node.cut_at = set(), None
        if state.outcome is Outcome.INTERRUPTED:
            state = update(node, NEW, folder)
        assert state.outcome is Outcome.CONFIRMED, (at, state)
        node.power_cut()
        assert (node.primary, node.confirmed) == (NEW, True)


def test_what_was_confirmed_by_another_goes_back_too(node) -> None:
    node.primary, node.secondary = NEW, OLD
    found = target_of(node).revert(image_hash(OLD))
    assert (found.digest, found.confirmed) == (image_hash(OLD), True)
    node.primary, node.secondary, node.pending = OLD, NEW, True  # set for test, and not wanted
    found = target_of(node).revert(image_hash(OLD))
    assert (node.primary, node.confirmed, node.pending) == (OLD, True, False)


def test_a_boot_loader_that_cannot_go_back_is_not_used() -> None:
    node = SmpNode(OLD, mode=2)
    with pytest.raises(TargetError, match=r"overwrite-only: it cannot go back"):
        target_of(node).identify()
    node.close()


def test_nobody_there_is_told(tmp_path) -> None:
    target = SmpTarget(str(tmp_path / "absent"), NodeLine("x"), answer_s=0.1)
    with pytest.raises(TargetError, match="absent"):
        target.identify()


# The hash of an image


@pytest.mark.parametrize("protected", [b"", b"dependency"])
def test_the_hash_is_the_one_that_smpclient_reads(tmp_path, protected) -> None:
    image = make_image((1, 2, 3), 700, protected=protected)
    (tmp_path / "i.bin").write_bytes(image)
    info = ImageInfo.load_file(str(tmp_path / "i.bin"))
    assert info.get_tlv(IMAGE_TLV.SHA256).value.hex() == image_hash(image)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_image_makes_it_raise_anything_else(junk: bytes, at: int) -> None:
    whole = make_image(size=200)
    for image in (junk, whole[:at], whole[:at] + junk + whole[at + len(junk) :]):
        try:
            assert len(image_hash(image)) == 64
        except ValueError as error:
            assert str(error).startswith("image: ")  # noqa: PT017

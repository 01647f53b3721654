"""The benchmark of flashing: what its pure parts make of outputs, alarms and a card's settings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from bench_modules import imported
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load_config

SINGLE = np.float32
BENCH = """\
litert                p50 us    p99 us  share   gru.float32.tflite
decode                   1.0       2.0    10%
onnxruntime           p50 us    p99 us  share   gru.float32.onnx
"""


@pytest.fixture(scope="module")
def parts() -> Any:
    with imported("flash", "flash_compare", "flash_card", "flash_initrd") as found:
        yield found


def steps_up(value: float, count: int) -> Any:
    found = SINGLE(value)
    for _ in range(count):
        found = np.nextafter(found, SINGLE(np.inf))
    return found


@given(value=st.floats(2.0**-100, 2.0**100, width=32), count=st.integers(0, 40))
def test_steps_of_a_float_are_counted(parts, value, count) -> None:
    one = np.array([value], SINGLE)
    other = np.array([steps_up(value, count)], SINGLE)
    found = parts.flash_compare.ulps(one, other)
    # A power of two on the way doubles the step.
    assert count <= found <= 2 * count


def test_a_step_is_that_of_the_largest_output(parts) -> None:
    one = np.array([1000.0, 1e-6], SINGLE)
    other = np.array([1000.0, 2e-6], SINGLE)
    assert parts.flash_compare.ulps(one, other) == 1
    assert parts.flash_compare.ulps(one[1:], other[1:]) > 2**20


def test_what_is_no_number_or_of_another_form_is_far_off(parts) -> None:
    ulps, far = parts.flash_compare.ulps, parts.flash_compare.FAR
    one = np.zeros(3, SINGLE)
    assert ulps(one, one) == 0
    assert ulps(one, np.zeros(4, SINGLE)) == far
    assert ulps(one, np.array([0.0, np.nan, 0.0], SINGLE)) == far


def test_outputs_are_compared_bit_by_bit(parts) -> None:
    here = {"a.int8.tflite litert tuned once": np.array([0.0, 1.0], SINGLE),
            "a.float32.tflite litert tuned once": np.array([[1.0], [2.0]], SINGLE)}  # fmt: skip
    there = {name: y.copy() for name, y in here.items()}
    there["a.int8.tflite litert tuned once"][0] = -0.0  # equal, and not the same bits
    float_, whole = parts.flash_compare.compare(here, there, frozenset({"a.int8.tflite"}))
    assert (float_.differ, float_.of, float_.ulps, float_.whole) == (0, 2, 0, False)
    assert (whole.differ, whole.of, whole.ulps, whole.whole) == (1, 2, 0, True)
    assert whole.same_integers
    assert not float_.same_integers
    there["a.int8.tflite litert tuned once"][1] -= 2.0**-8  # one of 256
    found = parts.flash_compare.compare(here, there, frozenset({"a.int8.tflite"}))
    assert not found[1].same_integers
    assert "1 of 2" in parts.flash_compare.table([whole])
    with pytest.raises(RuntimeError, match=r"not run there: a\.int8"):
        parts.flash_compare.compare(here, dict([there.popitem()]), frozenset())


def test_floats_by_plain_kernels_and_by_tuned_ones_are_told_apart(parts) -> None:
    one = np.float32(1.0)
    here = {f"g.{form}.x litert {kernels} once": np.array([one])
            for kernels in ("tuned", "plain") for form in ("float32", "int8")}  # fmt: skip
    steps = {"g.float32.x litert tuned once": 6, "g.float32.x litert plain once": 2}
    there = {name: y - steps.get(name, 100) * np.spacing(one) for name, y in here.items()}
    found = parts.flash_compare.compare(here, there, frozenset({"g.int8.x"}))
    assert parts.flash_compare.float_ulps(found, plain=False) == 6
    assert parts.flash_compare.float_ulps(found, plain=True) == 2


def test_only_runtimes_that_the_package_has_are_asked_for(parts) -> None:
    here = {f"g.float32.x {runtime} tuned once": np.zeros(1, SINGLE)
            for runtime in ("litert", "onnxruntime", "tflite")}  # fmt: skip
    assert set(parts.flash_compare.kept(here, BENCH)) == {
        "g.float32.x litert tuned once", "g.float32.x onnxruntime tuned once"}  # fmt: skip


def test_where_two_texts_part_is_told(parts) -> None:
    first = parts.flash_compare.first_difference
    assert first(b"same", b"same") == ""
    assert first(b"abcX", b"abcY").startswith("from byte 3 on")
    assert first(b"abc", b"abcd").startswith("from byte 3 on")


def test_only_numbers_may_be_a_little_off(parts) -> None:
    off = parts.flash_compare.numbers_off

    def line(**changes: object) -> bytes:
        alarm = {"id": "x-1", "level": 2, "evidence": [{"value": 2.0, "armed": True}], "none": None}
        return json.dumps(alarm | changes).encode() + b"\n"

    assert off(line(), line()) == 0.0
    assert off(line(), line(evidence=[{"value": 2.0000002, "armed": True}])) == pytest.approx(1e-7)
    for changed in (
        line(level=3),
        line(id="y"),
        line(none=0.0),
        line(evidence=[]),
        line(evidence=[{"armed": True, "value": 2.0}]),
        line() + line(),
    ):
        assert off(line(), changed) == float("inf")


@pytest.mark.parametrize("firmware", [True, False])
def test_the_settings_of_the_virtual_gateway_are_valid(parts, tmp_path, firmware) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(parts.flash_card.gateway_toml(1883, firmware=firmware), encoding="utf-8")
    config = load_config(path)
    assert config.name == parts.flash_card.NAME
    names = ["slope", "hot", "board"] if firmware else ["slope", "hot"]
    assert [station.name for station in config.stations] == names
    assert [port.name for port in config.ports] == names
    hot = config.stations[1].decision.rules
    assert [rule.level for rule in hot] == [1, 2, 3, 4]


def test_what_was_not_measured_is_named_and_kills_are_all_to_be_survived(parts) -> None:
    text = parts.flash.table({"deb_slim_mb": 4.8, "kills": 20, "kills_survived": 19})
    rows = {line.split()[0]: line for line in text.splitlines()}
    assert "met" in rows["deb_slim_mb"]
    assert "MISSED" in rows["kills_survived"]
    assert "not measured" in rows["unit_score"]
    assert rows["boot_ready_s"].split()[1] == "-"


def test_a_root_is_packed_in_the_order_given(parts, tmp_path) -> None:
    import tarfile

    path = tmp_path / "root.tar"
    parts.flash.make_root(path, {"b": b"1", "a/__main__.py": b"22"})
    with tarfile.open(path) as tar:
        found = {member.name: (member.mode, member.uid, member.size) for member in tar}
    assert list(found)[2:] == ["./usr/lib/talus/b", "./usr/lib/talus/a/__main__.py"]
    assert found["./usr/lib/talus/a/__main__.py"] == (0o4755, 2, 2)


NAMES = st.text("abc/.-", min_size=1, max_size=9)
MODULES_DEP = """\
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/jbd2/jbd2.ko
kernel/lib/crc16.ko:
kernel/fs/jbd2/jbd2.ko: kernel/lib/crc32.ko
kernel/lib/crc32.ko:
kernel/drivers/virtio/virtio-pci.ko.xz: kernel/lib/crc16.ko
"""


def test_modules_are_loaded_after_those_they_need(parts) -> None:
    found = parts.flash_initrd.in_order(MODULES_DEP, ("virtio_pci", "built_in", "ext4"))
    assert [path.rsplit("/", 1)[1] for path in found] == [
        "crc16.ko", "virtio-pci.ko.xz", "crc32.ko", "jbd2.ko", "ext4.ko"]  # fmt: skip


@given(
    st.dictionaries(st.text("abc/.-", min_size=1, max_size=9), st.binary(max_size=9), max_size=5)
)
def test_the_ram_disk_is_an_archive_as_the_kernel_reads_it(parts, files) -> None:
    data = parts.flash_initrd.cpio({name: (0o100644, each) for name, each in files.items()})
    found, at = {}, 0
    while True:
        assert at % 4 == 0
        assert data[at : at + 6] == b"070701"
        fields = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        at = at + 110 + name_size
        at += -at % 4
        if name == b"TRAILER!!!\0":
            break
        found[name[:-1].decode()] = data[at : at + size]
        at += size + -size % 4
    assert found == files

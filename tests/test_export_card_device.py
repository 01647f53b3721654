"""Which device is a card, on a /sys of the test and on the real one; and what is asked first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flash_site import make_deb, make_site, provision

from edge.errors import TalusError
from export.__main__ import main
from export.provision.device import inspect, objections


class Sys:
    """A /sys and /proc of one PC: sda its disk, sdb a card in a reader, mmcblk0 a built-in one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc/self").mkdir(parents=True)
        self.mounts(("8:2", "/"), ("8:1", "/boot"))
        (root / "proc/swaps").write_text("Filename Type Size Used Priority\n")
        self.disk("sda", "8:0", "500000000", "0", model="Samsung SSD")
        self.part("sda", "sda1", "8:1")
        self.part("sda", "sda2", "8:2")
        self.disk("sdb", "8:16", "62333952", "1", vendor="Generic", model="SD/MMC")
        self.part("sdb", "sdb1", "8:17")
        self.disk("mmcblk0", "179:0", "62333952", "0", name="SD32G", type="SD")
        self.disk("mmcblk1", "179:8", "62333952", "0", name="eMMC", type="MMC")
        self.disk("sdc", "8:32", "0", "1", model="empty")

    def disk(self, disk: str, number: str, sectors: str, removable: str, **more: str) -> None:
        place = self.root / "sys/class/block" / disk
        (place / "device").mkdir(parents=True)
        (place / "holders").mkdir()
        for key, value in {"dev": number, "size": sectors, "removable": removable,
                           "ro": "0"}.items():  # fmt: skip
            (place / key).write_text(value + "\n")
        for key, value in more.items():
            (place / "device" / key).write_text(value + "\n")

    def part(self, disk: str, name: str, number: str) -> None:
        place = self.root / "sys/class/block" / disk / name
        (place / "holders").mkdir(parents=True)
        (place / "partition").write_text("1\n")
        (place / "dev").write_text(number + "\n")
        (self.root / "sys/class/block" / name).symlink_to(f"{disk}/{name}")

    def mounts(self, *each: tuple[str, str]) -> None:
        rows = [f"{20 + i} 1 {number} / {place} rw - ext4 /dev/x rw\n"
                for i, (number, place) in enumerate(each)]  # fmt: skip
        (self.root / "proc/self/mountinfo").write_text("".join(rows))

    def objection(self, name: str, *, sure: bool = False) -> str:
        return objections(inspect(Path("/dev") / name, self.root), sure=sure)


@pytest.fixture
def pc(tmp_path):
    return Sys(tmp_path)


def test_a_card_in_a_reader_is_taken_and_shown(pc) -> None:
    found = inspect(Path("/dev/sdb"), pc.root)
    assert (found.model, found.size, found.removable) == ("Generic SD/MMC", "31.9 GB", True)
    assert pc.objection("sdb") == ""
    assert pc.objection("mmcblk0") == ""  # a built-in reader does not say removable


def test_the_disk_of_this_pc_is_never_taken(pc) -> None:
    for sure in (False, True):
        assert "sda2 is mounted at /" in pc.objection("sda", sure=sure)


def test_what_is_in_use_is_not_taken(pc) -> None:
    pc.mounts(("8:2", "/"), ("8:17", "/media/me/my\\040card"))
    assert "sdb1 is mounted at /media/me/my card" in pc.objection("sdb", sure=True)
    pc.mounts(("8:2", "/"))
    (pc.root / "proc/swaps").write_text("Filename Type\n/dev/sdb1 partition 1 0 -2\n")
    assert "/dev/sdb1 is swap" in pc.objection("sdb", sure=True)
    (pc.root / "proc/swaps").write_text("Filename Type\n")
    (pc.root / "sys/class/block/sdb/sdb1/holders/dm-0").mkdir()
    assert "carries dm-0" in pc.objection("sdb", sure=True)


def test_a_mount_of_btrfs_has_a_number_of_its_own_and_is_seen(pc) -> None:
    row = "26 1 0:41 /@ {} rw - btrfs {} rw\n"
    for source in ("/dev/sdb", "/dev/sdb1"):
        text = row.format("/mnt", source)
        (pc.root / "proc/self/mountinfo").write_text(text)
        assert f"{source[5:]} is mounted at /mnt" in pc.objection("sdb", sure=True)
        assert pc.objection("mmcblk0") == ""


def test_what_is_not_removable_wants_to_be_said_twice(pc) -> None:
    pc.mounts()
    for name in ("sda", "mmcblk1"):
        assert "--yes-really" in pc.objection(name)
        assert pc.objection(name, sure=True) == ""


def test_partitions_empty_readers_and_locked_cards_are_named(pc) -> None:
    with pytest.raises(TalusError, match="a partition: the whole card is needed: /dev/sdb"):
        inspect(Path("/dev/sdb1"), pc.root)
    with pytest.raises(TalusError, match="there is no card in it"):
        inspect(Path("/dev/sdc"), pc.root)
    with pytest.raises(TalusError, match="no such disk here"):
        inspect(Path("/dev/sdz"), pc.root)
    (pc.root / "sys/class/block/sdb/ro").write_text("1\n")
    assert "is read-only" in pc.objection("sdb", sure=True)
    pc.disk("sdd", "8:48", str(10**12), "1")
    assert "that is no card" in pc.objection("sdd", sure=True)


def test_the_disk_this_test_runs_on_is_refused(tmp_path) -> None:
    """On the real /sys, without opening anything."""
    number = tmp_path.stat().st_dev
    real = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not real.exists():
        pytest.skip("NOT TESTED: this disk is none of /sys (a container?)")
    place = real.resolve()
    disk = place.parent.name if (place / "partition").exists() else place.name
    assert "is in use" in objections(inspect(Path("/dev") / disk), sure=True)


def test_nothing_is_written_without_the_name_typed(tmp_path, monkeypatch, capsys) -> None:
    import export.provision.device as device

    (tmp_path / "os.img").write_bytes(b"anything")
    pc = Sys(tmp_path / "pc")
    monkeypatch.setattr(device, "inspect", lambda path: inspect(path, pc.root))
    for typed in ("", "y", "yes", "/dev/sda", None):
        monkeypatch.setattr("builtins.input", lambda text, typed=typed: _typed(typed))
        words = ["--site", "site.toml", "--out", str(tmp_path / "card")]
        words += ["--image", str(tmp_path / "os.img"), "--device", "/dev/sdb"]
        assert main(["provision", *words]) == 1
        said = capsys.readouterr()
        assert "Generic SD/MMC, 31.9 GB" in said.out
        assert "not confirmed; nothing was written" in said.err
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize("change", [
    {"model": "Other SD/MMC"}, {"size": "31116288"}, {"diskseq": "12"}, {},
], ids=["model", "size", "put in again", "same"])  # fmt: skip
def test_a_card_that_was_changed_meanwhile_is_not_written(
    tmp_path, monkeypatch, capsys, change
) -> None:
    """While the image is unpacked the name may come to belong to another stick."""
    from export.provision import device, stock, writing

    pc = Sys(tmp_path / "pc")
    place = pc.root / "sys/class/block/sdb"
    (place / "diskseq").write_text("11\n")
    monkeypatch.setattr(device, "inspect", lambda path: inspect(path, pc.root))
    monkeypatch.setattr("builtins.input", lambda text: "/dev/sdb")
    written = []
    monkeypatch.setattr(
        writing, "write_and_verify", lambda i, target, bar: written.append(target) or 0
    )

    def change_it(*words: object) -> None:
        for key, value in change.items():
            (place / "device" / key if key == "model" else place / key).write_text(value + "\n")

    monkeypatch.setattr(stock, "unpack", change_it)
    monkeypatch.setattr(stock, "put_files", lambda *words: None)
    (tmp_path / "os.img").write_bytes(b"anything")
    words = ["--image", str(tmp_path / "os.img"), "--device", "/dev/sdb"]
    deb = make_deb(tmp_path, paho=False)
    done = provision(make_site(tmp_path / "site"), deb, tmp_path / "card", *words)
    said = capsys.readouterr().err
    assert bool(written) is not bool(change)
    if change:
        assert done == 1
        assert "/dev/sdb: is not what was confirmed" in said
        assert "nothing was written" in said


def _typed(text: str | None) -> str:
    if text is None:
        raise EOFError
    return text


def test_a_device_without_an_image_is_asked_for_one(tmp_path, capsys) -> None:
    words = ["--site", "x", "--out", str(tmp_path), "--device", "/dev/sdb"]
    assert main(["provision", *words]) == 1
    assert "--image" in capsys.readouterr().err

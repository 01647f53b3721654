"""What ``talus-export image`` cannot build, and partition tables from anywhere."""

from __future__ import annotations

import contextlib
import os
import tarfile

import pytest
from flash_root import tarball
from flash_site import need
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import TalusError
from export.__main__ import main
from export.image.layout import LINUX, lay_out, mbr_bytes, read_mbr
from export.image.tools import run

MIB = 1024**2
tools = need("mtools", "dosfstools", "e2fsprogs", "dpkg")


@pytest.mark.parametrize(("words", "said"), [
    (["--root", "{}/none", "--out", "{}/x.img"], "neither folder nor tarball"),
    (["--root", "{}/bad.tar", "--out", "{}/x.img"], "no tarball, or damaged"),
    (["--root", "{}/cut.tar.xz", "--out", "{}/x.img"], "no tarball, or damaged"),
    (["--root", "{}/out.tar", "--out", "{}/x.img"], "outside"),
    (["--root", "{}", "--out", "{}/none/x.img"], "--out"),
    (["--root", "{}", "--out", "{}/x.img", "--boot-mb", "8"], "at least 40"),
    (["--root", "{}", "--out", "{}/x.img", "--card", "{}"], "not a folder of talus-export"),
    (["--root", "{}", "--out", "{}/x.img", "--boot", "{}/none"], "--boot"),
    (["--root", "{}", "--out", "{}/x.img", "--cmdline", "a\nb"], "one line"),
    (["--root", "{}/big", "--out", "{}/x.img", "--root-mb", "8"], "mke2fs"),
])  # fmt: skip
@tools
def test_what_cannot_be_built_says_why_and_leaves_nothing(tmp_path, capsys, words, said) -> None:
    (tmp_path / "bad.tar").write_bytes(b"not a tarball at all" * 100)
    tarball(tmp_path / "root.tar")
    import lzma

    whole = lzma.compress((tmp_path / "root.tar").read_bytes())
    (tmp_path / "cut.tar.xz").write_bytes(whole[: len(whole) // 2])
    with tarfile.open(tmp_path / "out.tar", "w") as tar:
        entry = tarfile.TarInfo("../../../evil")
        tar.addfile(entry)
    (tmp_path / "big").mkdir()
    (tmp_path / "big/file").write_bytes(os.urandom(12 * MIB))
    before = set(tmp_path.rglob("*"))
    filled = [word.format(tmp_path) for word in words]
    assert main(["image", "--boot-mb", "40", "--data-mb", "16", *filled]) == 1
    assert said in capsys.readouterr().err
    assert set(tmp_path.rglob("*")) == before


def test_a_program_that_is_missing_is_named_with_its_package(monkeypatch) -> None:
    import export.image.tools

    monkeypatch.setattr(export.image.tools, "_PATH", "/nowhere")
    with pytest.raises(TalusError, match="apt install dosfstools"):
        run(["mkfs.vfat"])


@given(st.lists(st.integers(1, 500), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_a_table_is_read_as_it_was_written(sizes, disk_id) -> None:
    layout = lay_out(*((LINUX, size) for size in sizes))
    end = max(p.offset + p.size for p in layout)
    assert read_mbr(mbr_bytes(layout, disk_id), end) == layout
    for a, b in zip(layout, layout[1:], strict=False):
        assert a.offset + a.size <= b.offset
    with pytest.raises(TalusError, match="cut short"):
        read_mbr(mbr_bytes(layout, disk_id), end - 1)


@given(st.binary(max_size=600))
def test_no_first_sector_raises_anything_else(sector) -> None:
    for content in (sector, sector[:510].ljust(510, b"\0") + b"\x55\xaa"):
        with contextlib.suppress(TalusError):
            read_mbr(content, 2**40)

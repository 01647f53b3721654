"""Root file systems that are hard to build: many small files, links of links, and no radio."""

from __future__ import annotations

import stat
import tarfile

import pytest
from flash_root import tarball
from flash_site import make_deb, make_site, need, provision

from edge.errors import TalusError
from export.__main__ import main
from export.image.build import Wanted, build
from export.image.layout import read_mbr
from export.image.root_tree import folder, lay_out_root, put
from export.image.tools import run

tools = need("mtools", "dosfstools", "e2fsprogs", "dpkg")


@tools
def test_a_root_of_many_small_files_is_built(tmp_path) -> None:
    root = tmp_path / "root"
    for i in range(70):
        (root / f"etc/{i}").mkdir(parents=True)
        for j in range(100):
            (root / f"etc/{i}/{j}").touch()
    wanted = Wanted(root, boot_mib=40, data_mib=16)
    build(tmp_path / "x.img", wanted, lambda text: None)
    with (tmp_path / "x.img").open("rb") as file:
        part = read_mbr(file.read(512), (tmp_path / "x.img").stat().st_size)[1]
        file.seek(part.offset)
        (tmp_path / "part").write_bytes(file.read(part.size))
    assert "/99/" in run(["debugfs", "-R", "ls -p /etc/69", tmp_path / "part"])


@pytest.mark.parametrize(("links", "wanted"), [
    ({"etc": "/a", "a": "/b"}, "b/fstab"),
    ({"etc": "/a", "a": "b", "b": "/c/d"}, "c/d/fstab"),
    ({"etc": "usr/etc", "usr": "/system/usr"}, "system/usr/etc/fstab"),
    ({"etc": "../../../over"}, "over/fstab"),  # above the root is the root, as for the gateway
    ({"etc": "/x/../y/./z"}, "y/z/fstab"),
])  # fmt: skip
def test_links_of_links_stay_inside(tmp_path, links, wanted) -> None:
    tree = tmp_path / "root"
    tree.mkdir()
    for name, to in links.items():
        (tree / name).symlink_to(to)
    entries = {}
    put(tree, entries, "etc/fstab", b"here")
    assert (tree / wanted).read_bytes() == b"here"
    assert stat.S_ISREG(entries[wanted].mode)
    assert all((tree / name).is_symlink() for name in links)
    assert [p.name for p in tmp_path.iterdir()] == ["root"]


def test_links_that_lead_round_end(tmp_path) -> None:
    (tmp_path / "a").symlink_to("/b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(TalusError, match="in a circle"):
        folder(tmp_path, {}, "a/x")


@tools
def test_a_radio_without_networkmanager_is_said(tmp_path, capsys) -> None:
    site = make_site(tmp_path / "site")
    assert provision(site, make_deb(tmp_path, paho=False), tmp_path / "card") == 0
    words = ["--card", str(tmp_path / "card"), "--out", str(tmp_path / "x.img"), "--boot-mb", "40"]
    words += ["--data-mb", "16"]
    plain = tarball(tmp_path / "plain.tar")
    assert main(["image", "--root", str(plain), *words]) == 0
    assert "no NetworkManager" in capsys.readouterr().err
    assert stat.S_IMODE((tmp_path / "x.img").stat().st_mode) == 0o600  # the card's secrets
    lay_out_root(plain, tmp_path / "tree")
    (tmp_path / "tree/etc/NetworkManager/system-connections").mkdir(parents=True)
    with tarfile.open(tmp_path / "with.tar", "w") as tar:
        tar.add(tmp_path / "tree", ".")
    assert main(["image", "--root", str(tmp_path / "with.tar"), *words]) == 0
    assert "NetworkManager" not in capsys.readouterr().err

"""What dpkg is left with when a package was taken back: nothing that would put it in later."""

from __future__ import annotations

import subprocess

import pytest
from update_parts import KEY, PowerCutError, Root, needs_dpkg

from edge.update_item import UpdateError
from edge.update_package import PackagePart
from edge.update_state import COMMITTED, REVERTED
from export.update_sign import sign_update

pytestmark = needs_dpkg


@pytest.fixture
def root(tmp_path) -> Root:
    return Root(tmp_path)


def stands(root: Root) -> str:
    """How dpkg says that the package is: ii, iU (unpacked), iF (half configured) ..."""
    admin = root.root / "var/lib/dpkg"
    words = ["dpkg-query", f"--admindir={admin}", "-W", "-f", "${db:Status-Abbrev}", "talus-edge"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def configure_all(root: Root) -> None:
    """What apt tells people to run; here also without what it depends on."""
    words = ["dpkg", f"--root={root.root}", "--force-script-chrootless", "--force-depends",
             "--configure", "-a"]  # fmt: skip
    subprocess.run(words, check=True, capture_output=True)


def unpack(root: Root, part: PackagePart) -> None:
    """As far as dpkg has come when the power goes."""
    words = ["dpkg", f"--root={root.root}", "--force-script-chrootless", "--unpack"]
    subprocess.run([*words, part._place.file], check=True, capture_output=True)


def go_on(root: Root) -> None:
    """What the service does at its start."""
    run = root.run()
    with run.hold():
        run.go_on()
        run.requested()


def taken_back(root: Root) -> None:
    assert root.outcome()["outcome"] == REVERTED
    assert stands(root) == "ii"
    configure_all(root)
    assert (root.at("current"), root.releases()) == ("releases/1.0", {"1.0"})
    assert root.unit.read_text() == "unit 1.0\n"
    assert root.put_in(root.new_package("2.1", 6)).outcome == COMMITTED
    assert (stands(root), root.at("current")) == ("ii", "releases/2.1")


def test_what_lacks_a_dependency_is_not_put_in_by_whoever_mends_it(root: Root) -> None:
    root.put_in(root.new_package("2.0", 5, fields="Depends: nothing-of-that-name\n"))
    taken_back(root)


def test_one_that_the_power_cut_off_three_times_is_not_put_in_later(root, monkeypatch) -> None:
    root.send("package", root.new_package())

    def cut(self: PackagePart, state) -> None:
        unpack(root, self)
        raise PowerCutError

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(PackagePart, "_install", cut)
            with pytest.raises(PowerCutError):
                go_on(root)
        assert stands(root) == "iU"
    go_on(root)
    assert "switch was begun 3 times" in root.outcome()["text"]
    taken_back(root)


def test_what_takes_the_board_down_once_more_is_left_out(root, monkeypatch) -> None:
    path = root.new_package("2.0", 5, fields="Depends: nothing-of-that-name\n")
    tries = []

    def cut(self: PackagePart, state) -> None:
        tries.append(state.phase)
        raise PowerCutError

    monkeypatch.setattr(PackagePart, "_finish", cut)
    with pytest.raises(PowerCutError):
        root.put_in(path)
    go_on(root)
    assert len(tries) == 1
    assert root.outcome()["outcome"] == REVERTED
    assert (root.at("current"), root.releases()) == ("releases/1.0", {"1.0"})


def test_one_whose_own_script_fails_is_taken_back_all_the_same(root: Root) -> None:
    path, tree = root.new_package(), root.folder / "tree"
    subprocess.run(["dpkg-deb", "-R", path, tree], check=True)
    script = tree / "DEBIAN/postinst"
    lines = script.read_text().splitlines()
    script.write_text("\n".join([lines[0], "exit 1", *lines[1:]]) + "\n")
    subprocess.run(["dpkg-deb", "-Zxz", "-b", tree, path], check=True, capture_output=True)
    sign_update(path, "package", KEY, 5)
    root.put_in(path)
    assert root.outcome()["outcome"] == REVERTED
    assert stands(root) == "iF"  # dpkg cannot end it, and would not put it in either
    assert (root.at("current"), root.releases()) == ("releases/1.0", {"1.0"})
    assert root.put_in(root.new_package("2.1", 6)).outcome == COMMITTED
    assert stands(root) == "ii"


def test_what_is_brought_to_its_end_waits_for_whoever_holds_the_lock(root, monkeypatch) -> None:
    path = root.new_package("2.0", 5, fields="Depends: nothing-of-that-name\n")
    real, locked = PackagePart._dpkg, []

    def held(self: PackagePart, state, *words) -> None:
        if "--configure" in words and len(locked) < 2:
            locked.append(words)
            raise UpdateError("dpkg: error: dpkg frontend lock was locked by another process")
        real(self, state, *words)

    monkeypatch.setattr(PackagePart, "_dpkg", held)
    monkeypatch.setattr("edge.update_package.time.sleep", lambda _: None)
    root.put_in(path)
    assert len(locked) == 2
    assert (root.outcome()["outcome"], stands(root)) == (REVERTED, "ii")

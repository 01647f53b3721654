"""A package put in by an update: a real .deb and dpkg, our own postinst, in a root of its own."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time

import pytest
from update_parts import KEY, Root, cut_off, needs_dpkg

from edge.errors import TalusError
from edge.update_package import ASKED
from edge.update_state import COMMITTED, REFUSED, REVERTED, State
from export.update_sign import sign_update

pytestmark = needs_dpkg


@pytest.fixture
def root(tmp_path) -> Root:
    return Root(tmp_path)


def test_a_signed_package_is_put_in_and_the_release_before_is_kept(root: Root) -> None:
    state = root.put_in(root.new_package())
    assert isinstance(state, State)
    assert (state.outcome, root.counter("package")) == (COMMITTED, 5), root.outcome()
    assert (root.at("current"), root.at("previous")) == ("releases/2.0", "releases/1.0")
    assert root.at("updater") == "releases/2.0"
    assert root.releases() == {"1.0", "2.0"}
    assert root.unit.read_text() == "unit 2.0\n"
    assert root.starts() == ["releases/2.0 # old"]
    assert root.put_in(root.new_package("3.0", 6)).outcome == COMMITTED
    assert (root.at("current"), root.at("previous")) == ("releases/3.0", "releases/2.0")
    assert root.releases() == {"2.0", "3.0"}  # two are kept
    assert "had counter 6" in root.put_in(root.new_package("2.5", 5))


@pytest.mark.parametrize(
    ("mark", "told"), [("sick", "talus run is not at work"), ("crashes", "did not keep running")]
)
def test_one_that_does_not_serve_is_taken_back_with_its_units(root: Root, mark, told) -> None:
    state = root.put_in(root.new_package("2.0", 5, mark))
    assert isinstance(state, State)
    assert (state.outcome, root.counter("package")) == (REVERTED, 0)
    assert told in root.outcome()["text"]
    assert (root.at("current"), root.at("updater"), root.at("previous")) == (
        "releases/1.0", "releases/1.0", "",
    )  # fmt: skip
    assert root.releases() == {"1.0"}
    assert root.unit.read_text() == "unit 1.0\n"
    assert not root.unit.with_name("more.service").exists()
    assert root.starts() == ["releases/2.0 # old", "releases/1.0 # old"]
    assert root.put_in(root.new_package("2.1", 6)).outcome == COMMITTED
    assert root.at("current") == "releases/2.1"


def test_what_the_new_one_no_longer_has_comes_back_as_it_was(root: Root) -> None:
    """A release before had a file and a link more; dpkg takes them away."""
    path, tree = root.new_package(), root.folder / "tree"
    subprocess.run(["dpkg-deb", "-R", path, tree], check=True)
    (tree / "usr/bin").mkdir()
    (tree / "usr/bin/old-tool").write_text("tool\n")
    (tree / "usr/bin/old-tool").chmod(0o755)
    (tree / "usr/bin/talus").symlink_to("../../opt/talus/current/bin/talus")
    subprocess.run(["dpkg-deb", "-Zxz", "-b", tree, path], check=True, capture_output=True)
    sign_update(path, "package", KEY, 5)
    assert root.put_in(path).outcome == COMMITTED
    tool, link = root.root / "usr/bin/old-tool", root.root / "usr/bin/talus"
    assert (tool.stat().st_mode & 0o777, link.is_symlink()) == (0o755, True)
    assert root.put_in(root.new_package("3.0", 6, "sick")).outcome == REVERTED
    assert (tool.read_text(), tool.stat().st_mode & 0o777) == ("tool\n", 0o755)
    assert str(link.readlink()) == "../../opt/talus/current/bin/talus"
    assert root.unit.read_text() == "unit 2.0\n"


def test_only_for_the_lock_of_another_program_does_it_wait(tmp_path, monkeypatch) -> None:
    root, waited = Root(tmp_path / "flock"), []
    held = (root.root / "var/lib/dpkg/lock-frontend").open("w")

    real = time.sleep

    def sleep(seconds: float) -> None:
        if seconds < 1:
            real(seconds)
            return
        waited.append(seconds)
        held.close()
        assert len(waited) < 3

    monkeypatch.setattr("edge.update_package.time.sleep", sleep)
    assert root.put_in(root.new_package("2.0", 5, fields="Pre-Depends: x\n")).outcome == REVERTED
    assert "/flock/" in root.outcome()["text"]
    assert waited == []
    fcntl.lockf(held, fcntl.LOCK_EX)
    assert root.put_in(root.new_package("2.1", 6)).outcome == COMMITTED
    assert len(waited) == 1


@pytest.mark.parametrize(("mark", "told"), [("broken", "prove: talus"), ("wrong", "golden")])
def test_one_that_proves_nothing_is_never_given_to_dpkg(root: Root, mark, told) -> None:
    state = root.put_in(root.new_package("2.0", 5, mark))
    assert isinstance(state, State)
    assert (state.outcome, root.starts()) == (REFUSED, [])
    assert told in root.outcome()["text"]
    assert (root.place.root / "var/lib/dpkg/status").read_text() == ""
    assert (root.at("current"), root.releases()) == ("releases/1.0", {"1.0"})
    assert root.unit.read_text() == "unit 1.0\n"


@pytest.mark.parametrize("field", ["Depends: nothing-of-that-name\n", "Pre-Depends: nor-this\n"])
def test_one_that_dpkg_does_not_take_changes_nothing_that_runs(root: Root, field) -> None:
    state = root.put_in(root.new_package("2.0", 5, fields=field))
    assert isinstance(state, State)
    assert root.outcome()["outcome"] == REVERTED
    assert "dpkg" in root.outcome()["text"]
    assert (root.at("current"), root.releases()) == ("releases/1.0", {"1.0"})
    assert root.unit.read_text() == "unit 1.0\n"
    assert root.put_in(root.new_package("2.1", 6)).outcome == COMMITTED


def test_a_package_of_another_name_or_version_is_refused(root: Root) -> None:
    path = root.new_package()
    other = root.folder / "other.deb"
    shutil.copy(path, other)
    tree = root.folder / "tree"
    subprocess.run(["dpkg-deb", "-R", other, tree], check=True)
    control = tree / "DEBIAN/control"
    whole, script = control.read_text(), (tree / "DEBIAN/postinst").read_text()
    for text, postinst, told in (
        (whole.replace("talus-edge", "bash"), script, "is bash"),
        (whole, script.replace(ASKED, "X"), "too old to be taken back"),
    ):
        control.write_text(text)
        (tree / "DEBIAN/postinst").write_text(postinst)
        subprocess.run(["dpkg-deb", "-Zxz", "-b", tree, other], check=True, capture_output=True)
        with pytest.raises(TalusError, match=told):
            sign_update(other, "package", KEY, 5)
    other.write_bytes(path.read_bytes()[:200])
    with pytest.raises(TalusError, match="cut short"):
        sign_update(other, "package", KEY, 5)


def test_a_release_that_a_person_installs_meanwhile_stays(root: Root, monkeypatch) -> None:
    def prove(self, state) -> None:
        shutil.copytree(root.place.opt / "releases/1.0", root.place.opt / "releases/mine")
        (root.place.opt / "current").unlink()
        (root.place.opt / "current").symlink_to("releases/mine")

    monkeypatch.setattr("edge.update_package.PackagePart.prove", prove)
    state = root.put_in(root.new_package())
    assert isinstance(state, State)
    assert "installed by somebody" in root.outcome()["text"]
    assert root.at("current") == "releases/mine"


def whole(root: Root) -> bool:
    """Whether what would start runs: the release that `current` names, and the updater's."""
    for link in ("current", "updater"):
        talus = root.place.opt / link / "bin/talus"
        if subprocess.run([talus, "--version"], check=False, capture_output=True).returncode:
            return False
    return root.boots()


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("mark", "outcome"), [("fine", COMMITTED), ("sick", REVERTED)])
def test_a_power_cut_at_every_step_leaves_one_that_boots(tmp_path, mark, outcome, stride) -> None:
    """The power goes before each write, rename, link, removal and start of a program in turn."""
    cuts, seen = 0, set()
    while True:
        cuts += stride
        root = Root(tmp_path / str(cuts))
        root.send("package", root.new_package("2.0", 5, mark))
        run = root.run()
        if not cut_off(run, cuts):
            break
        assert whole(root), cuts
        seen.add(root.at("current"))
        again = root.run()
        with again.hold():
            again.go_on()
            while again.requested() is not None:
                pass
        assert root.outcome()["outcome"] == outcome, (cuts, root.outcome())
        assert root.at("current") == ("releases/2.0" if outcome == COMMITTED else "releases/1.0")
        assert root.releases() == ({"1.0", "2.0"} if outcome == COMMITTED else {"1.0"}), cuts
        assert root.unit.read_text() == ("unit 2.0\n" if outcome == COMMITTED else "unit 1.0\n")
        assert not root.place.journal.exists()
        shutil.rmtree(root.folder)
    assert cuts > 40
    assert seen == {"releases/1.0", "releases/2.0"}


def test_a_process_killed_at_growing_times_comes_to_the_same_end(tmp_path) -> None:
    """kill -9 of the service, dpkg and all that it has started; then it is started anew."""
    root = Root(tmp_path / "whole")
    root.send("package", root.new_package())
    began_s = time.monotonic()
    root.serve().communicate(timeout=120)
    took_s = time.monotonic() - began_s
    assert root.at("current") == "releases/2.0"
    kills = 0
    for number in range(6):  # spread over what it takes on this machine
        root = Root(tmp_path / str(number))
        root.send("package", root.new_package())
        process = root.serve()
        time.sleep(took_s * (number + 0.5) / 6)
        if process.poll() is None:
            os.killpg(process.pid, 9)
            kills += 1
        process.communicate()
        assert whole(root)
        again = root.serve()
        said, _ = again.communicate(timeout=120)
        assert again.returncode == 0, said
        assert root.outcome()["outcome"] == COMMITTED, said
        assert (root.at("current"), root.releases()) == ("releases/2.0", {"1.0", "2.0"}), said
    assert kills

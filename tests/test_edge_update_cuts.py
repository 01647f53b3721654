"""An update of the configuration whose power is cut, whose disk is full, that is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import suppress

import pytest
from update_parts import PowerCutError, Root, cut_off

from edge.update_run import StuckError
from edge.update_state import COMMITTED, REVERTED


@pytest.fixture
def root(tmp_path) -> Root:
    return Root(tmp_path)


@pytest.mark.parametrize("stride", [2, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize(("mark", "outcome"), [("new", COMMITTED), ("SICK", REVERTED)])
def test_a_power_cut_at_every_step_leaves_one_that_boots(
    tmp_path, mark, outcome, stride, monkeypatch
) -> None:
    """The power goes before each write, rename, link, removal and start of a program in turn.

    Of those that both have, the odd ones here and the even ones there.
    """
    proven: list[str] = []
    monkeypatch.setattr(  # a process each time: proven above, too slow for here
        "edge.update_config.ConfigPart.prove", lambda self, state: proven.append(state.new)
    )
    cuts, seen = (0 if mark == "new" else 1 - stride), set()
    while True:
        cuts += stride
        root = Root(tmp_path / str(cuts))
        root.send("config", root.new_config(mark))
        run = root.run()
        if not cut_off(run, cuts):
            break
        assert root.boots(), cuts
        seen.add((root.mark(), root.place.journal.exists()))
        again = root.run()
        with again.hold():
            again.go_on()
            while again.requested() is not None:
                pass
        assert not (root.sent / "request").exists()
        assert (root.outcome()["outcome"], root.outcome()["id"]) == (outcome, "one"), cuts
        assert root.mark() == ("new" if outcome == COMMITTED else "old"), cuts
        assert root.counter("config") == (5 if outcome == COMMITTED else 0)
        assert not root.place.journal.exists()
        shutil.rmtree(root.folder)
    assert cuts > 25
    assert seen >= {("old", True), (mark, True)}
    assert proven


def test_a_full_disk_refuses_or_takes_back_and_comes_to_an_end(root: Root, monkeypatch) -> None:
    from edge.update_place import Place

    assert "too little room" in _full(root, monkeypatch, root.new_config())
    # Full from a step on: every file that is written aside fails, renames do not.
    for step in range(1, 8):
        mine = Root(root.folder / f"full{step}")
        path = mine.new_config()
        left = [step]
        write = Place.write

        def limited(self, *args, _left=left, _write=write):
            _left[0] -= 1
            if _left[0] <= 0:
                raise OSError(28, "No space left on device")
            return _write(self, *args)

        with monkeypatch.context() as patched:
            patched.setattr(Place, "write", limited)
            try:
                mine.put_in(path)
            except (StuckError, OSError):
                assert mine.boots()
        assert mine.boots()
        run = mine.run()
        with run.hold():
            run.go_on()  # there is room again
        assert not mine.place.journal.exists()
        committed = mine.counter("config") == 5
        assert mine.mark() == ("new" if committed else "old"), step


def _full(root: Root, monkeypatch, path) -> str:
    with monkeypatch.context() as patched:
        patched.setattr("edge.update_take.FREE_BYTES", 1 << 60)
        return str(root.put_in(path))


def test_a_ballast_is_given_up_for_the_way_back(root: Root, monkeypatch) -> None:
    import edge.update_place as place_module

    root.place.make()
    ballast = root.place.folder / "ballast"
    assert ballast.stat().st_size == place_module.BALLAST_BYTES
    real = place_module._write

    def full(path, *args):
        if ballast.exists():
            raise OSError(28, "No space left on device")
        real(path, *args)

    monkeypatch.setattr(place_module, "_write", full)
    root.place.write(root.place.folder / "x", b"1", 0o600)
    assert (root.place.folder / "x").read_bytes() == b"1"


def test_on_a_disk_that_stays_full_the_old_one_comes_back(root: Root, monkeypatch) -> None:
    """On a real file system of 200 kB, the power cut twice while it is watched."""
    folder = root.place.folder
    words = ["mount", "-t", "tmpfs", "-o", "size=200k", "talus-test", str(folder)]
    if os.geteuid() or subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: wants root that may mount")

    def watch(self) -> None:
        with suppress(OSError), (folder / "filler").open("ab", buffering=0) as out:
            while True:
                out.write(bytes(4096))
        raise PowerCutError

    try:
        root.send("config", root.new_config())
        with monkeypatch.context() as patched:
            patched.setattr("edge.update_take.FREE_BYTES", 0)
            patched.setattr("edge.update_system.System.gate", watch)
            for _ in range(2):
                run = root.run()
                with run.hold(), suppress(PowerCutError):
                    run.go_on()
                    run.requested()
        assert (root.mark(), (folder / "ballast").exists()) == ("new", False)
        run = root.run()
        with run.hold(), pytest.MonkeyPatch.context() as patched:
            patched.setattr("edge.update_system.System.gate", watch)
            run.go_on()
        assert (root.mark(), root.outcome()["outcome"]) == ("old", REVERTED)
        assert root.starts()[-1] == "releases/1.0 # old"
        assert not root.place.journal.exists()
        (folder / "filler").unlink()
        with root.run().hold():
            assert (folder / "ballast").exists()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_process_killed_at_growing_times_comes_to_the_same_end(tmp_path) -> None:
    """kill -9 of the service and all it has started; then it is started anew, as systemd does."""
    root = Root(tmp_path / "whole")
    root.send("config", root.new_config())
    began_s = time.monotonic()
    root.serve().communicate(timeout=60)
    took_s = time.monotonic() - began_s
    assert root.mark() == "new"
    kills = 0
    for number in range(6):  # spread over what it takes on this machine
        root = Root(tmp_path / str(number))
        root.send("config", root.new_config())
        process = root.serve()
        time.sleep(took_s * (number + 0.5) / 6)
        if process.poll() is None:
            os.killpg(process.pid, 9)
            kills += 1
        process.communicate()
        assert root.boots()
        again = root.serve()
        said, _ = again.communicate(timeout=60)
        assert again.returncode == 0, said
        assert (root.mark(), root.outcome()["outcome"]) == ("new", COMMITTED), said
    assert kills

"""``talus doctor`` and whose files are whose: other users, root, other file systems."""

from __future__ import annotations

import json
import os
import sys

import pytest
from doctor_parts import doctor, of, plant, site

from edge.__main__ import main
from edge.doctor_process import Process, running
from edge.doctor_root import Root
from edge.outbox import Outbox
from firmware_bridge.lock import LOCK_FILE


def test_another_user_is_told_what_cannot_be_seen_and_no_gate_lets_that_through(
    tmp_path, capsys
) -> None:
    if os.geteuid():
        pytest.skip("NOT TESTED: only root can be another user")
    config = site(tmp_path)
    Outbox(tmp_path / "talus-data", 10**8).close()
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    checks = "config,service,storage,ports,values,outbox,trust,second_path"
    words = ("--config", str(config), "--only", checks)
    doctor(capsys, *words)  # what it loads that user may not be allowed to read
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setuid(65534)
        code = main(["doctor", *words]) * 10 + main(["doctor", *words, "--health-gate"])
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1  # well as far as seen; no pass


def test_json_is_printed_for_another_user_as_well(tmp_path) -> None:
    if os.geteuid():
        pytest.skip("NOT TESTED: only root can be another user")
    config = site(tmp_path)
    (tmp_path / "talus-data").mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    words = ["doctor", "--config", str(config), "--only", "config", "--json"]
    main(words)  # what it loads that user may not be allowed to read
    out = tmp_path / "out"
    child = os.fork()
    if not child:
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
        sys.stdout = os.fdopen(1, "w")
        os.setgroups([])
        os.setuid(65534)
        code = main(words)
        sys.stdout.flush()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert json.loads(out.read_text())["gateway"] == "bluff"


def test_a_folder_of_its_own_file_system_is_not_what_root_has_left(tmp_path, capsys) -> None:
    if os.geteuid():
        pytest.skip("NOT TESTED: only root can be another user")
    config, data = site(tmp_path), tmp_path / "talus-data"
    (data / "lost+found").mkdir(mode=0o700, parents=True)  # root's, as mkfs makes it
    (data / "outbox.db").touch()
    for path in (data, data / "outbox.db"):
        os.chown(path, 65534, 65534)
    words = ("--config", str(config), "--only", "storage")
    assert of(doctor(capsys, *words)[1], "storage", str(data))["state"] != "fault"
    assert doctor(capsys, *words, "--health-gate")[0] == 0
    os.chown(data / "outbox.db", 0, 0)
    found = of(doctor(capsys, *words)[1], "storage", str(data))
    assert (found["state"], found["gate"]) == ("fault", True)
    assert "outbox.db does not belong" in found["text"]


def test_a_lock_of_that_number_on_another_file_system_is_not_ours(tmp_path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / LOCK_FILE).touch()
    found = (data / LOCK_FILE).stat()
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    fd = tmp_path / "root/proc/7/fd"
    fd.mkdir(parents=True)
    (fd / "3").symlink_to("/elsewhere/talus.lock")

    def look(device: str) -> Process | None:
        line = f"1: FLOCK  ADVISORY  WRITE 7 {device}:{found.st_ino} 0 EOF\n"
        plant(tmp_path / "root", "proc/locks", line)
        return running(Root(tmp_path / "root"), data)

    assert look(where) is not None
    assert look("fe:99") is None
    (fd / "4").symlink_to(os.path.realpath(data / LOCK_FILE))
    assert look("fe:99") is not None  # btrfs is called otherwise there

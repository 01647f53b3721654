"""Sirens and lamps of the second path: real programs, once, in their time, and no shell."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from second_parts import MINUTE_MS, Site

PROGRAM = """#!/bin/sh
echo "$$ $TALUS_LEVEL $TALUS_STATION $TALUS_DRILL $1 $(env | grep -c -i -e secret -e HOME)" >> {out}
{then}
"""


def program(tmp_path: Path, then: str = "exit 0") -> tuple[Path, Path]:
    path, out = tmp_path / "siren", tmp_path / "siren.out"
    path.write_text(PROGRAM.format(out=out, then=then), encoding="utf-8")
    path.chmod(0o755)
    out.touch()
    return path, out


def output_toml(path: Path, more: str = "") -> str:
    return (
        f'\n[[second_path.output]]\nname = "siren"\ncommand = ["{path}", "; touch /tmp/x"]\n{more}'
    )


def test_a_siren_sounds_once_for_all_that_wait_without_shell_or_secrets(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("MY_SECRET", "x")
    path, out = program(tmp_path)
    site = Site(tmp_path, output_toml(path))
    site.turn()
    for level, number in ((2, 1), (3, 2), (4, 3), (3, 4)):
        site.take(site.alarm(level, number))
    site.take(site.alarm(4, 5, kind="drill"))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: site.second.values(site.now_ms)["paths"]["output siren"]["sent"] == 1)
    site.quiet(100)
    (line,) = out.read_text().splitlines()
    assert line.split(" ", 1)[1] == "4 slope 0 ; touch /tmp/x 0"
    values = site.second.values(site.now_ms)["paths"]["output siren"]
    assert (values["waiting"], values["tries"], values["failed"]) == (0, 1, 0)
    site.take(site.alarm(4, 6))
    site.until(lambda: len(out.read_text().splitlines()) == 2)


def test_a_siren_that_fails_is_tried_again_and_its_exit_code_told(tmp_path) -> None:
    path, out = program(tmp_path, "exit 7")
    site = Site(tmp_path, output_toml(path, "always = true\ntries = 2\n"))
    site.connected = True  # always: also while the broker is there
    site.turn()
    site.take(site.alarm(3))
    site.until(lambda: site.second.values(site.now_ms)["paths"]["output siren"]["failed"] == 1)
    site.skip(MINUTE_MS)
    site.until(lambda: site.second.values(site.now_ms)["given_up"])
    values = site.second.values(site.now_ms)
    assert values["paths"]["output siren"]["reason"] == "exit code 7"
    assert values["given_up"] == {"2 tries failed": 1}
    assert len(out.read_text().splitlines()) == 2


def test_a_siren_that_hangs_is_ended_with_all_that_it_started(tmp_path) -> None:
    path, out = program(tmp_path, f"trap '' TERM\nsleep 300 &\necho $! >> {tmp_path}/child\nwait")
    site = Site(tmp_path, output_toml(path, "timeout_s = 0.5\ntries = 1\n"))
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    site.until((tmp_path / "child").exists)
    site.until(lambda: site.second.values(site.now_ms)["given_up"])
    assert "its time" in site.second.values(site.now_ms)["paths"]["output siren"]["reason"]
    leader = int(out.read_text().split()[0])
    child = int((tmp_path / "child").read_text())
    for pid in (leader, child):
        end = time.monotonic() + 10
        while _runs(pid):
            assert time.monotonic() < end, pid
            time.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_siren_is_in_a_session_of_its_own_and_ends_with_the_gateway(tmp_path) -> None:
    path, out = program(tmp_path, "sleep 300")
    site = Site(tmp_path, output_toml(path))
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    site.until(out.read_text)
    pid = int(out.read_text().split()[0])
    assert os.getsid(pid) == pid
    assert os.getsid(pid) != os.getsid(0)
    site.second.close()
    assert not _runs(pid)


def test_programs_that_everybody_may_write_or_nobody_can_run_are_not_run(tmp_path) -> None:
    path, out = program(tmp_path)
    path.chmod(0o757)
    site = Site(tmp_path, output_toml(path, "tries = 1\n"))
    site.turn()
    site.take(site.alarm(3))
    site.skip(6 * MINUTE_MS)
    site.until(lambda: site.second.values(site.now_ms)["given_up"])
    assert "chmod o-w" in site.second.values(site.now_ms)["paths"]["output siren"]["reason"]
    path.chmod(stat.S_IRUSR)
    site.take(site.alarm(3, 7))
    site.until(lambda: "may be run" in str(site.second.log))
    path.unlink()
    site.take(site.alarm(3, 8))
    site.until(lambda: "No such file" in str(site.second.log))
    assert out.read_text() == ""

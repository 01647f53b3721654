"""Updates from the desk into the booted gateway, each signed: kept, taken back, cut off."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flash_afar_inside import asked
from flash_afar_site import gateway_toml
from flash_cuts import BOOT_S
from flash_update import STATION
from flash_vm import await_true

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from flash_afar import Afar

UPDATE_S = 1500.0
"""How long is waited for what came of an update; it is no target."""
_HOST = 'host = "10.0.2.2"'
_JOURNAL = "cat /var/lib/talus-update/journal.json"
_CUT_AT = "switch"
"""While dpkg is at work: neither the old release nor the new one is all that is there."""


def configurations(afar: Afar) -> dict[str, float]:
    """Put in one that serves; then one by which no broker is reached, which is to be taken back."""
    path = afar.desk.folder / "gateway.toml"
    good = gateway_toml(afar.desk, "second")
    path.write_text(good, encoding="utf-8")
    took_s, said = _update(afar, path, "config")
    _is(afar, "head -1 /etc/talus/gateway.toml", "# second")
    print(f"configuration: {took_s:.0f} s: {said}", flush=True)
    bad = gateway_toml(afar.desk, "third").replace(_HOST, 'host = "nowhere.invalid"')
    path.write_text(bad, encoding="utf-8")
    back_s, said = _update(afar, path, "config", good=False)
    _is(afar, "head -1 /etc/talus/gateway.toml", "# second")
    print(f"one that reaches no broker: {back_s:.0f} s: {said}", flush=True)
    return {"config_update_s": took_s, "config_revert_s": back_s}


def strangers(afar: Afar) -> dict[str, float]:
    """Send what is signed by nobody, and by the wrong one; none of it is to be taken."""
    path = afar.desk.folder / "gateway.toml"
    path.write_text(gateway_toml(afar.desk, "a stranger's"), encoding="utf-8")
    afar.desk.sign_update(path, "config", who="room")
    tried = [afar.desk.command("drill", STATION, "--level", "4", signed=False),
             afar.desk.command("install-config", path),
             afar.desk.command("commit-update", "config")]  # fmt: skip
    for each in tried:
        print(f"refused: {each.stderr.strip()}" if each.returncode else f"DONE: {each.stdout}")
    why = ("unsigned", "signed by key", "no whole config")
    refused = [e.returncode != 0 and w in e.stderr for e, w in zip(tried, why, strict=True)]
    return {"strangers_heard": refused.count(False)}


def package(afar: Afar, deb: Path, version: str) -> dict[str, float]:
    """Put in a package of another version; it is to run."""
    took_s, said = _update(afar, deb, "package")
    _is(afar, "talus --version", f"talus {version}")
    told = afar.room.of("status")[-1]["version"]
    if told != version:
        raise RuntimeError(f"the room is told of version {told}")
    print(f"package: {took_s:.0f} s: {said}", flush=True)
    return {"package_update_s": took_s}


def package_cut(afar: Afar, deb: Path, versions: tuple[str, str]) -> dict[str, float]:
    """Cut the power while dpkg puts in a package; old or new is to run, and to be told."""
    afar.desk.sign_update(deb, "package")
    afar.desk.must("install-package", deb)
    answers: list[subprocess.CompletedProcess[str]] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            afar.desk.command("commit-update", "package", wait_s=UPDATE_S)
        ),
        daemon=True,
    )
    asking.start()

    def reached() -> bool:
        """Tell whether it is where the power is to be cut."""
        if answers:
            raise RuntimeError(f"package: {answers[0].stdout}{answers[0].stderr}")
        with suppress(ValueError):
            return bool(json.loads(afar.vm.ask(_JOURNAL, 20.0) or "")["phase"] == _CUT_AT)
        return False

    await_true(reached, BOOT_S, 0.5)
    time.sleep(2.0)
    afar.vm.kill()
    print(f"power cut during {_CUT_AT}", flush=True)
    began_s = time.monotonic()
    afar.vm.start()
    back_s = afar.await_alarm(began_s)
    asking.join(UPDATE_S)
    said = "".join(f"{each.stdout}{each.stderr}" for each in answers).strip()
    runs = asked(afar.vm, "talus --version")
    state = asked(afar.vm, "dpkg --audit; ls /var/lib/talus-update/journal.json")
    afar.await_alarm(time.monotonic())
    print(f"an alarm {back_s:.0f} s after power on; {runs}: {said}; {state}", flush=True)
    told = "runs and stays" in said or "runs again" in said or "taken back" in said
    settled = state.endswith("No such file or directory") and len(state.splitlines()) == 1
    survived = runs in {f"talus {each}" for each in versions} and told and settled
    return {"package_cut_survived": int(survived), "package_cut_alarm_s": back_s}


def bundle_on_trial(afar: Afar, bundle: Path) -> dict[str, float]:
    """Send a bundle; it is tried, and what comes of it is told as an alarm."""
    began_s = time.monotonic()
    afar.desk.must("install", bundle, "--as", "second")
    print(afar.desk.must("commit", STATION, "second"), flush=True)

    def ended() -> list[dict[str, Any]]:
        """Give alarms of kind bundle."""
        return [a for a in afar.room.of("alarm", began_s) if a["kind"] == "bundle"]

    await_true(ended, BOOT_S)
    took_s = time.monotonic() - began_s
    for each in ended():
        print(f"bundle: {took_s:.0f} s: {each['reason']}", flush=True)
    if not any("has passed" in each["reason"] for each in ended()):
        raise RuntimeError("the bundle on trial, the same as what watches, has not passed")
    return {"bundle_trial_s": took_s}


def _update(afar: Afar, path: Path, kind: str, *, good: bool = True) -> tuple[float, str]:
    """Sign, send, commit; how long that took, and the answer. Alarms are to go on after it."""
    afar.desk.sign_update(path, kind)
    began_s = time.monotonic()
    print(afar.desk.must(f"install-{kind}", path), flush=True)
    sent_s = time.monotonic() - began_s
    done = afar.desk.command("commit-update", kind, wait_s=UPDATE_S)
    took_s = time.monotonic() - began_s
    said = f"{done.stdout}{done.stderr}".strip()
    print(f"{kind}: sent in {sent_s:.0f} s")
    if (done.returncode == 0) != good:
        raise RuntimeError(f"{kind}: {said}")
    afar.await_alarm(time.monotonic())
    return took_s, said


def _is(afar: Afar, command: str, wanted: str) -> None:
    said = asked(afar.vm, command)
    if said != wanted:
        print(said, file=sys.stderr)
        raise RuntimeError(f"{command}: says {said[-200:]!r}, and not {wanted!r}")

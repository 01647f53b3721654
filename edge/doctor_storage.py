"""Where the gateway keeps its data: room, rights, damage, wear, and what it writes a day."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from edge.check import MIN_FREE_MB
from edge.disk_use import DAY_S
from edge.doctor_diagnosis import AS_ROOT, FAULT, OK, SKIPPED, UNSURE, WARN, Diagnosis, span_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.config import Config
    from edge.doctor_process import Process
    from edge.doctor_root import Root

WRITE_BUDGET_MB = 1000
"""A day: a card of 16 GB that takes 500 times its size lasts twenty years so."""
JUDGED_S = 3600.0
"""What a start writes says nothing of a day."""
_SPARE = "copy the data away and change the card or board before it fails"


def storage(
    root: Root, config: Config, process: Process | None, used_bytes: int, budget_mb: int
) -> Iterator[Diagnosis]:
    """Look at the folder of the data, and at what it stands on; ``used_bytes``: of the outbox."""
    yield _folder(config, used_bytes)
    yield from _damage(root)
    yield from _wear(root)
    yield _written(process, budget_mb)


def _folder(config: Config, used_bytes: int) -> Diagnosis:
    folder = config.data_dir
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    subject = str(config.data_dir)
    try:
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        free_mb = shutil.disk_usage(folder).free / 1e6
        nodes = os.statvfs(folder)
    except OSError as error:
        fix = "look whether the data partition is mounted (findmnt), and run this as root"
        text = f"cannot be looked at: {error.strerror}"
        return Diagnosis("storage", subject, FAULT, text, fix, gate=True)
    if is_read_only:
        text = "is mounted read-only, as the kernel does after errors: nothing can be stored"
        fix = f"look for the errors (dmesg | grep -i ext4), then fsck, then {_SPARE}"
        return Diagnosis("storage", subject, FAULT, text, fix, gate=True)
    if wrong := _not_writable(folder, config.data_dir):
        return Diagnosis("storage", subject, *wrong, gate=True)
    text = f"{free_mb:.0f} MB free"
    fix = "make room: delete old captures, or move them to another disk"
    if free_mb < MIN_FREE_MB or (nodes.f_files and nodes.f_favail < 64):
        what = f"only {text}" if free_mb < MIN_FREE_MB else "no more files can be made there"
        return Diagnosis("storage", subject, FAULT, what, fix, free_mb, "MB")
    needed_mb = (config.outbox_max_bytes - used_bytes) / 1e6 + MIN_FREE_MB
    if free_mb < needed_mb:
        text += f", and while the broker is away the outbox may want {needed_mb:.0f} MB"
        fix = "make room, or lower gateway.outbox_max_mb"
        return Diagnosis("storage", subject, WARN, text, fix, free_mb, "MB")
    return Diagnosis("storage", subject, OK, text, value=free_mb, unit="MB", gate=True)


def _not_writable(folder: Path, data_dir: Path) -> tuple[str, str, str] | None:
    """Say what this user cannot write; whether the gateway's own can, only that one can tell."""
    ask = (UNSURE, "belongs to another user, so whether it can be written is not known",
           AS_ROOT)  # fmt: skip
    try:
        names = sorted(data_dir.iterdir()) if data_dir.is_dir() else []
    except OSError:
        return ask
    if os.geteuid() == 0 and names:
        return _mixed(data_dir, names)
    if not os.access(folder, os.W_OK):
        return ask
    for each in names:
        if each.is_file() and not os.access(each, os.W_OK):
            what = f"{each.name} cannot be written by this user"
            return FAULT, what, f"give it back: chown --reference={data_dir} {each}"
    return None


def _mixed(data_dir: Path, names: list[Path]) -> tuple[str, str, str] | None:
    """Find what root has left in a folder that belongs to the gateway's user."""
    owner = data_dir.stat().st_uid
    for each in names if owner else ():
        if each.name == "lost+found":  # of a file system of its own: root's, and no data
            continue
        if each.lstat().st_uid != owner:
            what = f"{each.name} does not belong to the user of the folder, who cannot write it"
            return FAULT, what, f"give it back: chown -R --reference={data_dir} {data_dir}"
    return None


def _damage(root: Root) -> Iterator[Diagnosis]:
    for path in root.glob("sys/fs/ext4/*/errors_count"):
        errors, name = root.number(path), path.parent.name
        if errors:
            text = f"the file system has met {errors} errors: what stands there may be damaged"
            fix = f"check it at the next start (fsck.mode=force on the kernel's line), and {_SPARE}"
            yield Diagnosis("storage", name, FAULT, text, fix, float(errors), "errors")
        elif errors == 0:
            yield Diagnosis("storage", name, OK, "no errors in the file system", value=0.0,
                            unit="errors")  # fmt: skip


def _wear(root: Root) -> Iterator[Diagnosis]:
    cards = root.glob("sys/class/mmc_host/mmc*/mmc*:*")
    if not cards:
        yield Diagnosis("storage", "wear", SKIPPED, "no card or eMMC here that tells its wear")
    for card in cards:
        life = (root.text(card / "life_time") or "").split()
        spare = root.number(card / "pre_eol_info", 16) or 0
        name = root.text(card / "name") or card.name
        try:
            used = max(int(word, 16) for word in life)
        except ValueError:
            used = 0
        if not used and not spare:
            yield Diagnosis("storage", name, SKIPPED, "this card does not tell its wear")
        else:
            yield _worn(name, used, spare)


def _worn(name: str, used: int, spare: int) -> Diagnosis:
    """Judge by JEDEC's words: life in steps of 10 %, spare blocks 1 normal, 2 four fifths gone."""
    percent = min(used, 11) * 10.0
    told = "more than 100 %" if used > 10 else f"at most {percent:.0f} %"
    text = f"{told} of its life is used"
    if used > 10 or spare >= 3:
        text += ", and its spare blocks are all but gone" if spare >= 3 else ""
        return Diagnosis("storage", name, FAULT, text, _SPARE, percent, "%")
    if used >= 9 or spare == 2:
        text += ", and most of its spare blocks are gone" if spare == 2 else ""
        return Diagnosis("storage", name, WARN, text, _SPARE, percent, "%")
    return Diagnosis("storage", name, OK, text, value=percent, unit="%")


def _written(process: Process | None, budget_mb: int) -> Diagnosis:
    subject = "written a day"
    if process is None:
        return Diagnosis("storage", subject, SKIPPED, "no talus run is seen that writes")
    if process.written_bytes is None:
        fix = AS_ROOT
        return Diagnosis("storage", subject, UNSURE, "the kernel does not tell this user", fix)
    if process.age_s < JUDGED_S:
        text = f"{process.written_bytes / 1e6:.1f} MB in {span_text(process.age_s)}, too early"
        return Diagnosis("storage", subject, OK, f"{text} to judge a day by")
    a_day_mb = process.written_bytes / 1e6 * DAY_S / process.age_s
    text = f"{a_day_mb:.0f} MB a day, of {budget_mb} that the card should bear"
    if a_day_mb > budget_mb:
        fix = "mend the way to the broker; else raise snapshot_every_s, or capture less"
        return Diagnosis("storage", subject, WARN, text, fix, a_day_mb, "MB")
    return Diagnosis("storage", subject, OK, text, value=a_day_mb, unit="MB")

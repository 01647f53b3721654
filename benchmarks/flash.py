"""From a laptop and a blank card to a gateway: packages, unit, image; on arm64 with --full.

  python benchmarks/flash.py --json flash.json
  python benchmarks/flash.py --full --kills 20

--quick leaves the full package out. --full runs the packages in an arm64 Debian (scripts/arm64) and
boots an image in a virtual machine (scripts/boot --afar): needs root, Debian's archive, and an hour
and a half. What cannot be measured here is named with its reason, and left out of the figures.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from figures import machine, parse, write
from link import NotMeasuredError, gather, part
from relay import Target

from export.image.build import Wanted, build
from export.image.tools import missing
from export.package.deb import make_deb, unit_text
from export.package.targets import SUITES, target
from export.package.tree import own_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping

    from link import Figures

TARGETS = {
    "deb_slim_mb": Target("<=", 10),
    "unit_score": Target("<=", 2.0),
    "image_reproducible": Target("==", True),
    "arm64_int8_bit_equal": Target("==", True),
    "arm64_litert_bit_equal": Target("==", True),
    "vm_int8_bit_equal": Target("==", True),
    "vm_float_ulps": Target("<=", 2),
    "arm64_float_ulps": Target("<=", 2),
    "arm64_replay_identical": Target("==", True),
    "secrets_left": Target("==", 0),
    "package_cut_survived": Target("==", 1),
}
REPORTED = ("deb_full_mb", "image_mb", "arm64_tuned_float_ulps", "vm_tuned_float_ulps",
            "boot_ready_s", "flash_to_alarm_s", "kills", "kills_survived", "recovery_s",
            "arm64_rss_mb", "enrol_s", "config_update_s", "config_revert_s",
            "package_update_s")  # fmt: skip
"""Figures without a target of their own; kills_survived is to be kills."""
MB = 1e6
KILLS = 20


class Options:
    """What the parts are told beside --quick."""

    full = False
    kills = KILLS


def slim(**_: bool) -> Figures:
    """Make the slim packages for arm64, from wheels as locked."""
    return {"deb_slim_mb": max(_sizes(slim=True))}


def full(*, quick: bool) -> Figures:
    """Make the full packages for arm64, from wheels as locked."""
    if quick:
        raise NotMeasuredError("not with --quick")
    return {"deb_full_mb": max(_sizes(slim=False))}


def _sizes(*, slim: bool) -> Iterator[float]:
    for suite in SUITES:
        deb = make_deb(target(suite, "arm64"), slim=slim)
        print(f"{deb.name:<48} {len(deb.content) / MB:>6.1f} MB")
        yield len(deb.content) / MB


def unit(**_: bool) -> Figures:
    """Have systemd judge the unit of each suite, offline."""
    if shutil.which("systemd-analyze") is None:
        raise NotMeasuredError("no systemd-analyze here")
    scores = []
    for suite in SUITES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "talus.service"
            path.write_text(unit_text(suite), encoding="utf-8")
            done = subprocess.run(
                ["systemd-analyze", "security", "--offline=yes", path],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        said = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
        if not said:
            raise NotMeasuredError(f"systemd-analyze: {done.stderr.strip()[-200:]}")
        scores.append(float(said[0]))
        print(f"{suite:<10} {scores[-1]}")
    return {"unit_score": max(scores)}


def image(**_: bool) -> Figures:
    """Build an image twice, in two places, from a root packed in another order."""
    absent = missing()
    if absent:
        raise NotMeasuredError(f"apt install {' '.join(sorted(absent))}")
    files = own_files()
    with tempfile.TemporaryDirectory(prefix="flash-image-") as name:
        digests = []
        for i, order in enumerate((sorted(files), sorted(files, reverse=True))):
            place = Path(name) / f"{i}"
            place.mkdir()
            make_root(place / "root.tar", {each: files[each] for each in order})
            wanted = Wanted(place / "root.tar", boot_mib=40)
            digests.append(build(place / "card.img", wanted, lambda _: None))
            print(f"sha256 {digests[-1]}")
    return {"image_reproducible": len(set(digests)) == 1}


def make_root(path: Path, files: Mapping[str, bytes]) -> None:
    """Pack a small root of these files, in their order, with owners and setuid programs."""
    with tarfile.open(path, "w") as tar:
        for name, mode, kind in (("bin", 0o777, tarfile.SYMTYPE), ("usr", 0o755, tarfile.DIRTYPE)):
            info = tarfile.TarInfo(f"./{name}")
            info.type, info.mode, info.linkname = kind, mode, "usr/bin"
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(f"./usr/lib/talus/{name}")
            info.size, info.mtime, info.uid = len(content), 1_600_000_000, len(content) % 3
            info.mode = 0o4755 if name.endswith("__main__.py") else 0o644
            tar.addfile(info, io.BytesIO(content))


def _long(lacking: Callable[[], str], name: str, *asked: int) -> Figures:
    """Run a part that takes its time, on bookworm, where that can be."""
    if not Options.full:
        raise NotMeasuredError("only with --full")
    if why := lacking():
        raise NotMeasuredError(why)
    found: Figures = part(name).run("bookworm", *asked)
    return found


def arm64(**_: bool) -> Figures:
    """Install both packages in an arm64 Debian; compare outputs and alarms with this machine's."""
    return _long(part("flash_debian").lacking, "flash_arm64")


def boot(**_: bool) -> Figures:
    """Boot a flashed card in a virtual machine, up to the alarm; then kill it again and again."""
    return _long(part("flash_vm").why_not, "flash_life", Options.kills)


def afar(**_: bool) -> Figures:
    """Boot a card with a token: enrolment, TLS, updates from the desk, one of them cut off."""
    return _long(part("flash_vm").why_not, "flash_afar")


PARTS: dict[str, Callable[..., Figures]] = {
    "deb_slim_mb": slim,
    "deb_full_mb": full,
    "unit_score": unit,
    "image_reproducible": image,
    "arm64_int8_bit_equal, arm64_replay_identical": arm64,
    "boot_ready_s, flash_to_alarm_s, kills, kills_survived, arm64_rss_mb": boot,
    "enrol_s, config_update_s, package_update_s, package_cut_survived, secrets_left": afar,
}


def table(figures: Figures) -> str:
    """Return the figures that have a target, whether it is met, and those that have none."""
    targets = dict(TARGETS)
    if "kills" in figures:
        targets["kills_survived"] = Target("==", figures["kills"])
    lines = [f"{'figure':<24} {'value':>10} {'target':>8}"]
    for name, wanted in targets.items():
        text = f"{wanted.sense} {wanted.value:g}"
        if name in figures:
            met = "met" if wanted.met(figures[name], quick=False) else "MISSED"
            lines.append(f"{name:<24} {figures[name]:>10.4g} {text:>8}  {met}")
        else:
            lines.append(f"{name:<24} {'-':>10} {text:>8}  not measured")
    for name in REPORTED:
        if name not in targets:
            value = f"{figures[name]:.4g}" if name in figures else "-"
            lines.append(f"{name:<24} {value:>10}")
    return "\n".join(lines)


def _own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="arm64 and the virtual machine too")
    parser.add_argument("--kills", type=int, default=KILLS, metavar="N")
    parser.add_argument(
        "--only", choices=[each.__name__ for each in PARTS.values()], help="measure one part"
    )


def main() -> int:
    """Run the benchmark."""
    args = parse(__doc__, add=_own_options)
    Options.full, Options.kills = args.full, args.kills
    parts = {names: each for names, each in PARTS.items() if args.only in (None, each.__name__)}
    print(machine())
    figures, broken = gather(parts, quick=args.quick)
    print(f"\n{table(figures)}")
    write(figures, args.json)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())

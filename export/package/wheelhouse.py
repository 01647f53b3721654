"""A folder that installs Talus without network: for a Jetson, and wherever no .deb is made for."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edge import __version__
from edge.errors import TalusError
from export.package.archive import make_zip
from export.package.deb import text_of, unit_text
from export.package.targets import MACHINES
from export.package.tree import own_files
from export.package.wheels import PIP, RUNTIMES, fetch, locked

if TYPE_CHECKING:
    from export.package.targets import Target

SUMS = "sha256sums"
_COMMANDS = (
    "[console_scripts]\ntalus = edge.__main__:main\ntalus-flash = firmware_bridge.flash:main\n"
)


def own_wheel() -> tuple[str, bytes]:
    """Return the name and the bytes of a wheel of what runs on a gateway."""
    info = f"talus_edge-{__version__}.dist-info"
    files = own_files() | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: talus-edge\nVersion: {__version__}\n"
        "Requires-Python: >=3.11\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: talus-export\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": _COMMANDS.encode(),
    }
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow([name, f"sha256={digest}", len(data)])
    rows.writerow([f"{info}/RECORD", "", ""])
    files[f"{info}/RECORD"] = record.getvalue().encode()
    return f"talus_edge-{__version__}-py3-none-any.whl", make_zip(files.items())


def make_wheelhouse(
    target: Target,
    out: Path,
    *,
    slim: bool = False,
    python_archive: Path | None = None,
    wheels: Path | None = None,
) -> None:
    """Write the folder, whole or not at all. Raises TalusError, OSError.

    ``slim``: LiteRT as the only runtime. ``python_archive``: a standalone Python to go along.
    """
    if out.exists():
        raise TalusError(f"{out}: exists; choose another --out")
    lock = locked(target)
    names = [name for name in lock if not slim or name not in RUNTIMES or name == RUNTIMES[0]]
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        folder = aside / "wheels"
        folder.mkdir()
        fetch(target, names, folder, wheels)
        name, content = own_wheel()
        (folder / name).write_bytes(content)
        own = f"talus-edge=={__version__} --hash=sha256:{hashlib.sha256(content).hexdigest()}"
        required = "\n".join([*(lock[each] for each in names if each != PIP), own])
        _put(aside, target, required + "\n")
        if python_archive is not None:
            suffix = "".join(python_archive.suffixes[-2:])
            shutil.copyfile(python_archive, aside / f"python-{target.release.python}{suffix}")
        _sum(aside)
        aside.chmod(0o755)
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _put(folder: Path, target: Target, required: str) -> None:
    script = text_of(
        "install.sh",
        VERSION=__version__, PYTHON=target.release.python, ARCH=target.arch,
        MACHINE=MACHINES[target.arch], NOTE=target.release.note or "Install it, with apt.",
    )  # fmt: skip
    (folder / "install.sh").write_text(script, encoding="utf-8")
    (folder / "install.sh").chmod(0o755)
    (folder / "requirements.txt").write_text(required, encoding="utf-8")
    (folder / "talus.service").write_text(unit_text(target.release.name), encoding="utf-8")
    (folder / "gateway.toml").write_text(text_of("gateway.toml"), encoding="utf-8")


def _sum(folder: Path) -> None:
    lines = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")

"""What a release consists of: the code of Talus, and of each wheel what runs on a gateway."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import edge
import firmware_bridge
from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LITERT = "ai_edge_litert/"
_LITERT_NEEDED = {
    "__init__.py", "interpreter.py", "metrics_interface.py", "metrics_portable.py",
    "_pywrap_litert_interpreter_wrapper.so", "libpywrap_litert_common.so",
}  # fmt: skip
"""Of LiteRT: what its interpreter loads. No WebGPU, converter, compiler, or generative models."""
_NOT_RUN = ("onnxruntime/tools/", "onnxruntime/transformers/", "onnxruntime/quantization/",
            "onnxruntime/datasets/", "serial/tools/miniterm.py")  # fmt: skip
_KEPT_INFO = re.compile(
    r"\.dist-info/(METADATA|LICEN[CS]E.*|NOTICE.*|COPYING.*|AUTHORS.*|licenses/.*)$"
)
_MAX_FILE_BYTES = 512 * 1024 * 1024


def own_files() -> dict[str, bytes]:
    """Return the files of edge and firmware_bridge as they are installed here, without the C."""
    found = {}
    for package in (edge, firmware_bridge):
        folder = Path(package.__file__ or "").parent
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            if path.is_file() and "__pycache__" not in inner.parts and inner.parts[0] != "c":
                name = PurePosixPath(folder.name, inner)
                if path.suffix != ".pyc" and not path.name.startswith("."):
                    found[str(name)] = path.read_bytes()
    return found


def wheel_files(path: Path) -> dict[str, bytes]:
    """Return what is packed of a wheel, by its place in a folder of modules. Raises TalusError."""
    try:
        with zipfile.ZipFile(path) as wheel:
            found = dict(_members(path, wheel))
    except (zipfile.BadZipFile, OSError) as error:
        raise TalusError(f"{path.name}: damaged: {error}") from error
    if path.name.startswith("ai_edge_litert-"):
        lacking = _LITERT_NEEDED - {name.removeprefix(_LITERT) for name in found}
        if lacking:
            raise TalusError(
                f"{path.name}: lacks {', '.join(sorted(lacking))}: too new, or damaged"
            )
    return found


def _members(path: Path, wheel: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    for info in wheel.infolist():
        name = PurePosixPath(info.filename)
        if info.is_dir():
            continue
        if name.is_absolute() or ".." in name.parts or info.file_size > _MAX_FILE_BYTES:
            raise TalusError(f"{path.name}: {info.filename}: not a file of a wheel")
        parts = name.parts
        if parts[0].endswith(".data"):
            if parts[1] not in {"purelib", "platlib"}:
                continue  # scripts, headers
            name = PurePosixPath(*parts[2:])
        if _is_run(str(name)):
            yield str(name), wheel.read(info)


def _is_run(name: str) -> bool:
    if ".dist-info/" in name:
        return bool(_KEPT_INFO.search(name))
    if name.startswith(_LITERT):
        return name.removeprefix(_LITERT) in _LITERT_NEEDED
    return not name.startswith(_NOT_RUN) and "/tests/" not in name


def glibc_needed(path: Path) -> int:
    """Return x of the glibc 2.x that a wheel needs, 0 where it needs none."""
    known = [int(v) for v in re.findall(r"manylinux_2_(\d+)_", path.name)]
    return min(known + [17] * ("manylinux2014" in path.name), default=0)

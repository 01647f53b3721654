"""talus-firstboot as one file: a zip that Python runs, the same bytes from any PC."""

from __future__ import annotations

import io
import zipfile
from importlib.resources import files

_PARTS = ("export/__init__.py", "export/provision/__init__.py")
_FOLDER = "export/provision/firstboot"
_START = """\
import sys

from export.provision.firstboot.main import main

sys.exit(main())
"""
_SHEBANG = b"#!/usr/bin/env python3\n"
_DATE = (1980, 1, 1, 0, 0, 0)


def firstboot_app() -> bytes:
    """Return the file: the package firstboot, and what it stands in."""
    root = files("export")
    sources = {"__main__.py": _START.encode()}
    for path in _PARTS:
        sources[path] = root.joinpath(path.partition("/")[2]).read_bytes()
    for each in root.joinpath("provision/firstboot").iterdir():
        if each.name.endswith(".py"):
            sources[f"{_FOLDER}/{each.name}"] = each.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, sources[name])
    return _SHEBANG + packed.getvalue()


def data_file(name: str) -> bytes:
    """Return a file of ``export/provision/files``."""
    return files("export.provision").joinpath(f"files/{name}").read_bytes()

"""Finished parts of a training on disk, so that Ctrl-C or a power cut costs one part at most."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    Arrays = list[npt.NDArray[np.float32]]

_STAMP = "key.json"


class Checkpoint:
    """Arrays by name, in a folder of their own beside the bundle to be.

    ``key`` says what they were made from (data, configuration, release): kept parts of anything
    else are thrown away.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        self._folder = folder
        self._key = json.dumps({"key": key})
        self.resumed = 0
        """Parts that were found finished."""
        if folder is not None and not self._same(folder):
            shutil.rmtree(folder, ignore_errors=True)

    def _same(self, folder: Path) -> bool:
        try:
            return (folder / _STAMP).read_text(encoding="utf-8") == self._key
        except (OSError, ValueError):
            return False

    def arrays(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Return the arrays of this name: kept ones, or those now made and kept."""
        if self._folder is None:
            return make()
        path = self._folder / f"{name}.npz"
        try:
            with np.load(path, allow_pickle=False) as kept:
                found = [kept[f"a{i}"] for i in range(len(kept.files))]
            self.resumed += 1
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            found = make()
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _STAMP).write_text(self._key, encoding="utf-8")
            aside = self._folder / f".{name}.npz"
            np.savez(aside, **{f"a{i}": array for i, array in enumerate(found)})
            os.replace(aside, path)  # noqa: PTH105
        return found

    def done(self) -> None:
        """Throw the parts away: the bundle is written."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

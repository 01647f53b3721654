"""Energy by the counters of /sys/class/powercap: of the whole package, whoever used it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.bench_machine import ABSENT, NO_PERMISSION

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = "sys/class/powercap"


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules over a time, by zone; ``why`` says why there are none."""

    joules: float | None
    zones: dict[str, float]
    why: str = ""


class Counters:
    """Counters from when this was made, or last read. They wrap, which is seen once a reading."""

    def __init__(self, root: Path) -> None:
        self._zones: dict[Path, str] = {}
        self._last: dict[Path, int] = {}
        self.why = ""
        self._find(root)

    def _find(self, root: Path) -> None:
        folder = root / _FOLDER
        try:
            # Zones within a package (intel-rapl:0:1) are counted in it.
            found = [p for p in sorted(folder.iterdir()) if p.name.count(":") == 1]
        except OSError as error:
            self.why = f"/{_FOLDER}: {_reason(error)}"
            return
        for zone in found:
            try:
                self._last[zone] = int((zone / "energy_uj").read_text(encoding="ascii"))
                self._zones[zone] = (zone / "name").read_text(encoding="utf-8").strip() or zone.name
            except (OSError, ValueError) as error:
                self._last.pop(zone, None)
                self.why = f"/{_FOLDER}/{zone.name}/energy_uj: {_reason(error)}"
        if not found:
            self.why = f"/{_FOLDER}: no counter"

    def read(self) -> Energy:
        """Return what was used since the last time."""
        zones: dict[str, float] = {}
        for zone, name in self._zones.items():
            try:
                now = int((zone / "energy_uj").read_text(encoding="ascii"))
                used = now - self._last[zone]
                if used < 0:
                    used += int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
            except (OSError, ValueError) as error:
                self.why = f"/{_FOLDER}/{zone.name}: {_reason(error)}"
                continue
            self._last[zone] = now
            zones[name] = zones.get(name, 0.0) + used / 1e6
        # psys is the whole board, and holds the packages.
        packages = [joules for name, joules in zones.items() if name.startswith("package")]
        joules = sum(packages) if packages else max(zones.values(), default=None)
        return Energy(joules, zones, self.why if joules is None else "")


def _reason(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return f"{NO_PERMISSION} (only root reads it: sudo talus bench ...)"
    if isinstance(error, FileNotFoundError):
        return ABSENT
    return str(getattr(error, "strerror", None) or error)

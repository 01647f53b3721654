"""Sites of the generator as calibration reads them: tracks in memory, or CSV and site.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.calibrate.track import Track
from export.generator.site import generate_site
from export.generator.table import write_csv

if TYPE_CHECKING:
    from pathlib import Path

    from export.generator.site import Site
    from export.generator.spec import SlopeSpec

HEAD = """\
[gateway]
name = "g"

[[port]]
name = "node"
device = "/dev/ttyUSB0"
protocol = "tw1"
"""


def tracks(site: Site) -> tuple[Track, ...]:
    """What `read_tracks` gives of a site without gaps."""
    step_ms, start = 1000 * site.spec.step_s, int(site.time_ms[0])
    apart = np.diff(site.time_ms) / 1000.0
    return tuple(
        Track(c.name, c.quantity.text, c.unit.text, start, step_ms, site.values[:, i].copy(), apart)
        for i, c in enumerate(site.channels)
    )


def site_toml(site: Site, name: str = "slope", extra: str = "") -> str:
    """One [[station]] with the channels of a site."""
    text = f'\n[[station]]\nname = "{name}"\nstep_s = {site.spec.step_s}\n{extra}'
    for c in site.channels:
        text += (
            f'\n[[station.channel]]\nname = "{c.name}"\nport = "node"\n'
            f'quantity = "{c.quantity.text}"\nunit = "{c.unit.text}"\n'
        )
    return text


def written(folder: Path, spec: SlopeSpec, extra: str = "") -> tuple[Site, Path, Path]:
    """A site with its site.toml and history.csv in a folder."""
    site = generate_site(spec)
    toml, csv = folder / "site.toml", folder / "history.csv"
    toml.write_text(HEAD + site_toml(site, extra=extra))
    write_csv(site, csv)
    return site, toml, csv

"""Whether a bundle fits the station that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import BundleError

if TYPE_CHECKING:
    from edge.config import StationConfig
    from edge.manifest import Manifest


def check_schema(config: StationConfig, manifest: Manifest) -> None:
    """Raise BundleError unless the station has every channel of the bundle, in its unit."""
    by_name = {channel.name: channel for channel in config.channels}
    wrong = []
    for spec in manifest.channels:
        channel = by_name.get(spec.name)
        if channel is None:
            wrong.append(f"channel {spec.name!r} ({spec.unit}) is not configured")
        elif channel.unit != spec.unit:
            wrong.append(f"channel {spec.name!r} is in {channel.unit}, trained in {spec.unit}")
        elif channel.aggregate != spec.aggregate:
            wrong.append(
                f"channel {spec.name!r} aggregates by {channel.aggregate}, "
                f"trained with {spec.aggregate}"
            )
    if config.step_ms and config.step_ms != manifest.step_ms:
        wrong.append(f"step_s is {config.step_ms / 1000:g}, trained at {manifest.step_ms / 1000:g}")
    if wrong:
        msg = f"station {config.name!r} does not fit bundle {manifest.label}: " + "; ".join(wrong)
        raise BundleError(msg)

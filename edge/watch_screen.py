"""The view of `talus watch` as lines of a terminal. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from edge.alarm import LEVELS
from edge.watching import LIVE_STATES

if TYPE_CHECKING:
    from edge.watching import GatewayView, View

_COLOURS = ("32", "36", "33", "31", "1;37;41")
"""SGR of each level."""
_GREY, _RED, _BOLD = "90", "31", "1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOME, CLEAR_LINE, CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The other screen without a cursor, and back."""

Line = list[tuple[str, str]]
"""Pieces of text and their colour, "" for none."""


def screen(view: View, head: str, now_ms: int, size: tuple[int, int], *, colours: bool) -> str:
    """Give what is to be written to redraw the whole screen of (columns, rows)."""
    columns, rows = size
    lines = screen_lines(view, head, now_ms)
    if len(lines) > rows > 0:
        lines = [*lines[: rows - 1], [(f"({len(lines) - rows + 1} more lines)", _GREY)]]
    drawn = (drawn_line(line, columns, colours=colours) + CLEAR_LINE for line in lines)
    return HOME + "\r\n".join(drawn) + CLEAR_REST


def drawn_line(line: Line, columns: int, *, colours: bool) -> str:
    """Write one line, cut at the edge."""
    done = ""
    for text, colour in line:
        cut = text[: max(0, columns)]
        columns -= len(cut)
        done += f"\x1b[{colour}m{cut}\x1b[0m" if colours and colour and cut else cut
    return done


def screen_lines(view: View, head: str, now_ms: int) -> list[Line]:
    """Give all lines."""
    lines: list[Line] = [[(f"{iso(now_ms)}  {head}", _BOLD)], []]
    for name, gateway in sorted(view.gateways.items()):
        lines += [*_gateway(name, gateway, now_ms), []]
    if not view.gateways:
        lines += [[("no gateway heard yet", _GREY)], []]
    if view.alarms:
        lines.append([("newest alarms", _BOLD)])
    for each in reversed(view.alarms):
        where = f"  {iso(each.time_ms)}  {each.gateway}/{each.station}  "
        lines.append([(where, ""), (each.words, _COLOURS[each.level])])
    return lines


def _gateway(name: str, gateway: GatewayView, now_ms: int) -> list[Line]:
    online = {None: ("?", _GREY), True: ("online", "32"), False: ("OFFLINE", _RED)}[gateway.online]
    about = f"  {gateway.version}" if gateway.version else ""
    if gateway.health_ms:
        about += f"  health {age(now_ms, gateway.health_ms)} ago"
    if gateway.outbox_messages is not None:
        about += (
            f"  outbox {gateway.outbox_messages} messages, {gateway.outbox_bytes / 1000:.1f} kB"
        )
    head: Line = [(f"{name}  ", _BOLD), online, (about, "")]
    if gateway.second_path:
        head.append(("  SECOND PATH OPEN", _RED))
    lines = [head]
    for port, (state, latest_ms) in sorted(gateway.ports.items()):
        last = f"  last reading {age(now_ms, latest_ms)} ago" if latest_ms else "  no reading yet"
        colour = "" if state.startswith(LIVE_STATES) else _RED
        lines.append([(f"  port {port:<16} ", ""), (state, colour), (last, "")])
    for station, each in sorted(gateway.stations.items()):
        colour = _GREY if each.level is None else _COLOURS[each.level]
        level = "?" if each.level is None else f"{each.level} {LEVELS[each.level]}"
        row: Line = [(f"  {station:<21} ", ""), (f"{level:<11}", colour)]
        if each.no_data:
            row.append((" NO-DATA", _RED))
        more = each.words().partition(", ")[2].replace("NO-DATA", "").strip(", ")
        row.append((f" {more}" if more else "", ""))
        if each.trial:
            row.append((f"  tries {each.trial}{each.trial_steps}", "36"))
        if each.latest_ms:
            row.append((f"  reading {age(now_ms, each.latest_ms)} old", _GREY))
        lines.append(row)
    return lines


def age(now_ms: int, then_ms: int) -> str:
    """Say how long ago something was; by two clocks, so that it may be less than nothing."""
    seconds = (now_ms - then_ms) / 1000
    if seconds < 120:
        return f"{seconds:.0f} s"
    for unit, long in (("min", 60), ("h", 3600)):
        if seconds < 120 * long:
            return f"{seconds / long:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def iso(time_ms: int) -> str:
    """Write a time as 2031-10-25T17:46:05Z."""
    moment = _EPOCH + timedelta(milliseconds=min(time_ms, 253_402_300_799_000))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

"""How a byte stands on a serial line: data bits, parity, stop bits."""

FRAME = "8N1"
FRAMES = {
    f"{bits}{parity}{stops}": (bits, parity, stops)
    for bits in (8, 7)
    for parity in "NEO"
    for stops in (1, 2)
}
"""Data bits, parity and stop bits by what they are called: 8N1, 7E1 (SDI-12), 8E1 (Modbus), ..."""

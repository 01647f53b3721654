"""Writes the shared vectors as a corpus for the fuzzer: each after the byte that says its use."""

from __future__ import annotations

import json
import sys
from pathlib import Path

REQUESTS = {"get_set": 0x21, "resend": 0x32, "reboot": 0x22, "sync_request": 0x10,
            "enter_update": 0x23}  # fmt: skip
RECEIVER, FRAMES, MESSAGES, SAMPLES, NODE = range(5)


def main() -> None:
    corpus = Path(sys.argv[1])
    vectors = json.loads(Path(__file__).with_name("tw1.json").read_text())
    seeds = [bytes((RECEIVER,)) + bytes.fromhex(each[1]) for each in vectors["streams"][::8]]
    for flags, kind, seq, boot, payload, _ in vectors["frames"][::16]:
        body = bytes((flags, kind, seq & 255, seq >> 8, boot)) + bytes.fromhex(payload)
        seeds.append(bytes((FRAMES,)) + body)
    seeds += [bytes((MESSAGES,)) + bytes.fromhex(each[1]) for each in vectors["messages"][::16]]
    for layout in vectors["layouts"][::4]:
        dtypes = bytes(bytes.fromhex(each)[4] for each in layout["describe"])
        head = bytes((SAMPLES, len(dtypes))) + dtypes
        seeds += [head + bytes.fromhex(each[1]) for each in layout["samples"][:4]]
    for each in [each for each in vectors["messages"] if each[0] in REQUESTS][::8]:
        kind, payload = REQUESTS[each[0]], bytes.fromhex(each[1])
        seeds.append(bytes((NODE, 251, 7, 252, 9, len(payload), kind)) + payload)
    for k, seed in enumerate(seeds):
        (corpus / f"seed-{k:04}").write_bytes(seed)


if __name__ == "__main__":
    main()

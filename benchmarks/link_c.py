"""TW1 in Python and in C against the same vectors, and the size of the C.

`vectors_and_mismatches` takes every vector of tests/vectors/tw1.json through both: what Python
writes is read by C, what C writes is read by Python, and both are what the vector says.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from link_c_python import python_message, python_samples, python_stream

import firmware_bridge
from firmware_bridge import messages
from firmware_bridge.framing import Frame, FrameDecoder, encode
from firmware_bridge.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

C_DIR = Path(firmware_bridge.__file__).parent / "c"
VECTORS_DIR = Path(__file__).resolve().parent.parent / "tests" / "vectors"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
NODE_SOURCES = ("tw1.c", "tw1_messages.c", "tw1_data.c", "tw1_answers.c", "tw1_node.c")

Vector = Any
Check = tuple[str, Any, Any]
"""What was looked at, what came, what was to come."""


def load() -> dict[str, list[Vector]]:
    """Give the vectors by kind."""
    found: dict[str, list[Vector]] = json.loads((VECTORS_DIR / "tw1.json").read_text())
    return found


def build(main: Iterable[Path], output: Path, cc: str = "cc") -> Path:
    """Build a host program with the C sources, warnings as errors, under ASan and UBSan."""
    sources = [C_DIR / name for name in NODE_SOURCES]
    subprocess.run(
        [cc, *STRICT, *SANITIZE, f"-I{C_DIR}", *main, *sources, "-o", output], check=True
    )
    return output


def asked(program: Path, questions: list[str]) -> list[Any]:
    """Put questions to the host program; gives an answer for each."""
    run = subprocess.run(
        [program], input="\n".join(questions) + "\n", capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"{program.name}: exit {run.returncode}\n{run.stderr[-4000:]}")
    return [json.loads(line) for line in run.stdout.splitlines()]


# The vectors through both


def _hexed(data: bytes) -> str:
    return data.hex() or "-"


def _frame(flags: int, kind: int, seq: int, boot: int, payload: str) -> Frame:
    return Frame(1, flags, kind, seq, boot, bytes.fromhex(payload))


def _frames(vectors: list[Vector]) -> tuple[list[str], Callable[[list[Any]], Iterator[Check]]]:
    frames = [_frame(*vector[:5]) for vector in vectors]
    written = [encode(frame) for frame in frames]
    questions = []
    for frame, wire in zip(frames, written, strict=True):
        fields = f"{frame.flags} {frame.type} {frame.seq} {frame.boot}"
        questions += [f"E {fields} {_hexed(frame.payload)}", f"S -1 - {wire.hex()}"]

    def checks(answers: list[Any]) -> Iterator[Check]:
        for k, (vector, frame, wire) in enumerate(zip(vectors, frames, written, strict=True)):
            by_c, read_by_c = answers[2 * k], answers[2 * k + 1]
            yield "Python writes", wire.hex(), vector[5]
            yield "C writes", by_c, vector[5]
            yield "C reads Python's", read_by_c[0], [["frame", *vector[:5]]]
            yield "Python reads C's", FrameDecoder().receive(bytes.fromhex(by_c or "")), [frame]

    return questions, checks


def _refused(vectors: list[Vector]) -> tuple[list[str], Callable[[list[Any]], Iterator[Check]]]:
    def python_writes(vector: Vector) -> bytes | None:
        try:
            return encode(_frame(*vector))
        except ValueError:
            return None

    def checks(answers: list[Any]) -> Iterator[Check]:
        for vector, answer in zip(vectors, answers, strict=True):
            yield "C refuses", answer, None
            yield "Python refuses", python_writes(vector), None

    return [f"E {' '.join(map(str, v[:4]))} {v[4] or '-'}" for v in vectors], checks


def _streams(vectors: list[Vector]) -> tuple[list[str], Callable[[list[Any]], Iterator[Check]]]:
    def checks(answers: list[Any]) -> Iterator[Check]:
        for (_, data, cuts, reset_at, forgotten, events), answer in zip(
            vectors, answers, strict=True
        ):
            yield "C receives", answer, [events, forgotten]
            for each in (cuts, [], [-1]):
                came = python_stream(bytes.fromhex(data), each, reset_at)
                yield "Python receives", came, [events, forgotten]

    return [f"S {v[3]} {','.join(map(str, v[2])) or '-'} {v[1]}" for v in vectors], checks


def _rounded(kind: str, fields: list[Any]) -> list[Any]:
    """Bounds travel as f32, which C gives in nine digits and Python in seven."""
    if kind != "describe":
        return fields
    bounds = [None if each is None else float(f"{each:.7g}") for each in fields[7:9]]
    return [*fields[:7], *bounds, fields[9]]


def _messages(vectors: list[Vector]) -> tuple[list[str], Callable[[list[Any]], Iterator[Check]]]:
    read = [python_message(kind, bytes.fromhex(data)) for kind, data, _, _ in vectors]
    questions = [f"M {kind} {data or '-'}" for kind, data, _, _ in vectors]

    def checks(answers: list[Any]) -> Iterator[Check]:
        for (kind, data, fields, again), (by_python, written), by_c in zip(
            vectors, read, answers, strict=True
        ):
            yield f"Python reads {kind}", by_python, fields
            if fields is None or by_c is None:
                yield f"C reads {kind}", by_c, fields
                continue
            yield f"C reads {kind}", _rounded(kind, by_c[0]), fields
            yield f"Python writes {kind}", written.hex(), again or data
            yield f"C writes {kind}", by_c[1], again or data
            yield "Python reads C's", python_message(kind, bytes.fromhex(by_c[1]))[0], fields

    return questions, checks


def _same(came: Any, wanted: Any) -> bool:
    """Whether both are alike, floats to a few units of the last digit: 10^30 is no float."""
    if isinstance(came, list) and isinstance(wanted, list):
        return len(came) == len(wanted) and all(map(_same, came, wanted))
    if isinstance(came, float) and isinstance(wanted, float | int):
        return math.isclose(came, wanted, rel_tol=1e-15)
    return bool(came == wanted)


def _samples_of(schema: int, fields: list[Any]) -> list[Any]:
    index, t_us, dt_us, rows = fields
    return [schema, [[(index + k) % (1 << 32), t_us + k * dt_us, row[2], row[3]]
                     for k, row in enumerate(rows)]]  # fmt: skip


def _layouts(vectors: list[Vector]) -> tuple[list[str], Callable[[list[Any]], Iterator[Check]]]:
    questions = []
    for each in vectors:
        questions.append("L " + " ".join(each["describe"]))
        questions += [f"D {kind} {data}" for kind, data, _, _ in each["samples"]]

    def checks(answers: list[Any]) -> Iterator[Check]:
        answer = iter(answers)
        for each in vectors:
            described = [messages.decode_description(bytes.fromhex(d)) for d in each["describe"]]
            layout = Layout([d for d in described if isinstance(d, messages.Description)])
            yield "C schema and row", next(answer), [each["schema"], each["row"]]
            yield "Python schema", layout.schema, each["schema"]
            for kind, data, fields, again in each["samples"]:
                by_c = next(answer)
                by_python = python_samples(layout, kind, bytes.fromhex(data))
                wanted = None if fields is None else _samples_of(each["schema"], fields)
                yield f"Python reads {kind}", by_python, wanted
                if fields is None or by_c is None:
                    yield f"C reads {kind}", by_c, fields
                    continue
                yield f"C reads {kind}", by_c[0], [*fields[:3], [row[:2] for row in fields[3]]]
                yield f"C writes {kind}", by_c[1], again or data
                values = python_samples(layout, kind, bytes.fromhex(by_c[1]))
                yield (
                    "Python reads C's",
                    values and [s[2] for s in values[1]],
                    [row[2] for row in fields[3]],
                )

    return questions, checks


def _refused_layouts(
    vectors: list[Vector],
) -> tuple[list[str], Callable[[list[Any]], Iterator[Check]]]:
    def python_takes(payloads: list[str]) -> bool:
        described = [messages.decode_description(bytes.fromhex(each)) for each in payloads]
        try:
            Layout([d for d in described if isinstance(d, messages.Description)])
        except ValueError:
            return False
        return True

    def checks(answers: list[Any]) -> Iterator[Check]:
        for vector, answer in zip(vectors, answers, strict=True):
            yield "C refuses", answer[1], 0
            yield "Python refuses", python_takes(vector), False

    return ["L " + " ".join(each) for each in vectors], checks


KINDS = {
    "frames": _frames,
    "refused": _refused,
    "streams": _streams,
    "messages": _messages,
    "layouts": _layouts,
    "refused_layouts": _refused_layouts,
}


def count(kind: str, vectors: list[Vector]) -> int:
    """Say how many vectors these are: a layout is one, and each of its samples."""
    return len(vectors) + sum(len(each["samples"]) for each in vectors if kind == "layouts")


def mismatches(kind: str, vectors: list[Vector], program: Path) -> list[Check]:
    """Take the vectors of a kind through Python and C; gives what was not as it should be."""
    questions, checks = KINDS[kind](vectors)
    answers = asked(program, questions)
    if len(answers) != len(questions):
        return [("answers", len(answers), len(questions))]
    return [check for check in checks(answers) if not _same(check[1], check[2])]


def host_program(directory: Path, cc: str = "cc") -> Path:
    """Build the program that answers for the C side."""
    sources = [VECTORS_DIR / name for name in ("host.c", "host_messages.c")]
    return build(sources, directory / f"tw1-host-{Path(cc).name}", cc)


@cache
def vectors_and_mismatches() -> tuple[int, int]:
    """Give how many vectors there are, and how many checks failed. Needs a host `cc`."""
    with tempfile.TemporaryDirectory() as directory:
        program = host_program(Path(directory))
        vectors = load()
        total = sum(count(kind, each) for kind, each in vectors.items())
        return total, sum(len(mismatches(k, each, program)) for k, each in vectors.items())


def flash_bytes(source: str, cpu: str = "cortex-m3") -> int | None:
    """Give the text (code and constants) of one C file with -Os; None without the compiler."""
    if shutil.which("arm-none-eabi-gcc") is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "made.o"
        subprocess.run(
            ["arm-none-eabi-gcc", *STRICT, "-Os", f"-mcpu={cpu}", "-mthumb", "-ffreestanding",
             "-isystem", C_DIR / "examples" / "mps2", "-c", C_DIR / source, "-o", made],
            check=True,
        )  # fmt: skip
        sizes = subprocess.run(
            ["arm-none-eabi-size", made], check=True, capture_output=True, text=True
        ).stdout
    found = re.search(r"^\s*(\d+)\s", sizes, re.MULTILINE)
    assert found is not None
    return int(found[1])


def codec_flash_bytes() -> int | None:
    """Give the size of the framing on a Cortex-M3: encode, decode and CRC."""
    return flash_bytes("tw1.c")


if __name__ == "__main__":
    total, failed = vectors_and_mismatches()
    print(json.dumps({"vectors": total, "vector_mismatches": failed,
                      "codec_flash_bytes": codec_flash_bytes()}))  # fmt: skip
    sys.exit(bool(failed))

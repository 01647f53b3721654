"""What a booted gateway's models give on the CPU that it sees, against this machine.

qemu-user shows programs no CPU of arm64 that they know, and XNNPACK takes its plain kernels there.
A Linux in a virtual machine knows a Cortex-A72, and XNNPACK has kernels for it that sum in another
order, as on a board. So the golden inputs are run inside too: by those, and by plain ones.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from flash_arm64 import whole_files
from flash_compare import compare, float_ulps, table
from flash_vectors import vectors

from edge.bench import demo_bundle

if TYPE_CHECKING:
    from flash_vm import Vm

RUNTIME = "litert"
_HERE = Path(__file__).parent
_PLACE, _END = "/tmp/vectors.py", "END_OF_VECTORS"
_ASK = """
if __name__ == "__main__":
    import base64, io
    kept = io.BytesIO()
    np.savez_compressed(kept, **vectors(Path(BUNDLE), RUNTIME))
    print("outputs " + base64.b64encode(kept.getvalue()).decode())
"""


def on_its_cpu(vm: Vm, bundle: str = "/etc/talus/bundle") -> dict[str, float]:
    """Run every artifact inside; how far outputs are off. Raises RuntimeError."""
    program = (_HERE / "flash_vectors.py").read_text(encoding="utf-8")
    program = program[: program.index("\ndef main(")]
    asked = _ASK.replace("BUNDLE", repr(bundle)).replace("RUNTIME", repr(RUNTIME))
    vm.must(f"cat >{_PLACE} <<'{_END}'\n{program}{asked}\n{_END}")
    python = vm.must("sed -n '1s/^#!//p' /opt/talus/current/bin/talus").split()[0]
    said = vm.ask(f"PYTHONPATH=/opt/talus/current/lib {python} {_PLACE}", 300.0) or ""
    lines = [each for each in said.splitlines() if each.startswith("outputs ")]
    if not lines:
        raise RuntimeError(f"no outputs of models from inside: {said[-500:]}")
    with np.load(io.BytesIO(base64.b64decode(lines[0].split()[1]))) as kept:
        there = dict(kept)
    found = compare(vectors(demo_bundle(), RUNTIME), there, whole_files(demo_bundle()))
    print(table(found))
    return {
        "vm_int8_bit_equal": all(each.same_integers for each in found if each.whole),
        "vm_float_ulps": float_ulps(found, plain=True),
        "vm_tuned_float_ulps": float_ulps(found, plain=False),
    }

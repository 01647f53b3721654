"""An arm64 gateway as a virtual machine: its card, serial devices on USB, a shell into it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from flash_debian import BOOTS, CPU, lacking, root_of
from flash_initrd import make_initrd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Self

MACHINE = ("-M", "virt", "-cpu", CPU, "-smp", "2", "-m", "2048", "-display", "none",
           "-monitor", "none", "-accel", "tcg,thread=multi")  # fmt: skip
KERNEL_SAYS = "console=ttyAMA0 quiet panic=0"
_NETWORK = "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n"
# One open file: the port is for one. Without anybody at the other end it ends, and is tried again.
_SHELL = """\
[Unit]
Description=Shell for who tests this image
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'exec /bin/sh 0<>/dev/virtio-ports/shell 1>&0 2>&0'
Restart=always
RestartSec=1
"""
_MARK = "talus-vm-said"
_DONE = "/var/lib/talus-firstboot/done"


def why_not() -> str:
    """Return why there can be no virtual machine here, "" where there can."""
    absent = [name for name in ("qemu-system-aarch64", "mosquitto") if not _found(name)]
    if absent:
        return f"apt install {' '.join(absent)}".replace("qemu-system-aarch64", "qemu-system-arm")
    return lacking()


def _found(name: str) -> bool:
    return shutil.which(name) is not None or shutil.which(name, path="/usr/sbin:/sbin") is not None


def boot_root(suite: str) -> Path:
    """Return a root that boots: with a kernel, a network by DHCP, and the shell for us."""
    root = root_of(suite, BOOTS)
    units = root / "etc/systemd/system"
    wants = units / "multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (root / "etc/systemd/network/wired.network").write_text(_NETWORK, encoding="ascii")
    (units / "test-shell.service").write_text(_SHELL, encoding="ascii")
    for name, to in (
        ("test-shell.service", "../test-shell.service"),
        ("systemd-networkd.service", "/lib/systemd/system/systemd-networkd.service"),
    ):
        (wants / name).unlink(missing_ok=True)
        (wants / name).symlink_to(to)
    return root


def await_true(what: Callable[[], object], patience_s: float, every_s: float = 0.2) -> None:
    """Wait until something is true. Raises RuntimeError where that does not come."""
    end_s = time.monotonic() + patience_s
    while not what():
        if time.monotonic() > end_s:
            raise RuntimeError(f"not within {patience_s:.0f} s: {what.__doc__ or what}")
        time.sleep(every_s)


def first_boot_told(vm: Vm, patience_s: float) -> str:
    """Wait until all of the first boot is done; what it says of itself."""
    await_true(lambda: vm.ask(f"test -e {_DONE} && echo yes") == "yes\n", patience_s, 2.0)
    return vm.must("cat /boot/firmware/talus-status.txt")


def tell(vm: Vm, folder: Path, *more: str) -> None:
    """Say all that may tell why something went wrong; ``more``: commands to run inside."""
    for command in ("cat /boot/firmware/talus-status.txt", "systemctl status talus --no-pager -l",
                    "journalctl -u talus-firstboot -u talus -u talus-update -n 80 --no-pager",
                    *more):  # fmt: skip
        print(f"--- {command}\n{vm.ask(command, 60.0)}", file=sys.stderr)
    for path in sorted(folder.glob("console.*.log"))[-1:]:
        print(f"--- console\n{path.read_text(errors='replace')[-3000:]}", file=sys.stderr)


class Vm:
    """One board with its card. ``devices``: a pty for each serial number on USB."""

    def __init__(self, root: Path, card: Path, devices: Mapping[str, str], folder: Path) -> None:
        self.console = folder / "console.log"
        self.starts = 0
        self._socket_path = folder / "shell"
        self._said = b""
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        (kernel,) = (root / "boot").glob("vmlinuz-*")
        initrd = folder / "initrd"
        initrd.write_bytes(make_initrd(root))
        usb: list[str] = ["-device", "qemu-xhci"]
        for name, device in devices.items():
            usb += ["-chardev", f"serial,id=c-{name},path={device}",
                    "-device", f"usb-serial,chardev=c-{name},serial={name}"]  # fmt: skip
        self._command = [
            "qemu-system-aarch64", *MACHINE, "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", KERNEL_SAYS, "-drive", f"file={card},if=none,id=card,format=raw",
            "-device", "virtio-blk-pci,drive=card",
            "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=", *usb,
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=shell,path={self._socket_path},server=on,wait=off",
            "-device", "virtserialport,chardev=shell,name=shell",
        ]  # fmt: skip

    def start(self) -> None:
        """Power on."""
        self.starts += 1
        console = self.console.with_name(f"console.{self.starts}.log")
        self._socket_path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [*self._command, "-serial", f"file:{console}"], stdin=subprocess.DEVNULL
        )
        end_s = time.monotonic() + 60
        self._line = socket.socket(socket.AF_UNIX)
        while time.monotonic() < end_s and self._process.poll() is None:
            try:
                self._line.connect(str(self._socket_path))
            except OSError:
                time.sleep(0.05)
            else:
                self._said = b""
                return
        raise RuntimeError("qemu-system-aarch64 does not start")

    def kill(self) -> None:
        """Cut the power."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, command: str, patience_s: float = 60.0) -> str | None:
        """Run a command inside; what it wrote, None where nobody answered in time."""
        if self._process is None or self._process.poll() is not None or self._line is None:
            raise RuntimeError("the virtual machine is not running")
        mark = f"{_MARK}-{time.monotonic_ns()}"
        # Between two marks: what was asked before may be answered late.
        text = f"echo {mark} from\n{{ {command}\n}} 2>&1 </dev/null\necho {mark} to\n"
        with suppress(OSError):
            self._line.sendall(text.encode())
        end_s = time.monotonic() + patience_s
        self._said = b""
        while time.monotonic() < end_s:
            self._line.settimeout(0.5)
            with suppress(TimeoutError):
                self._said += self._line.recv(65536)
            begun = self._said.partition(f"{mark} from\n".encode())[2]
            inside, ended, _ = begun.partition(f"{mark} to\n".encode())
            if ended:
                return inside.decode(errors="replace")
        return None

    def must(self, command: str, patience_s: float = 120.0) -> str:
        """Run a command inside. Raises RuntimeError where nobody answers."""
        end_s = time.monotonic() + patience_s
        while time.monotonic() < end_s:
            said = self.ask(command, 20.0)
            if said is not None:
                return said
        raise RuntimeError(f"no answer within {patience_s:.0f} s: {command}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

"""A node with MCUboot and two slots, over SMP (mcumgr) through smpclient, an optional extra.

The board of a manifest is what the OS group calls the hardware platform, such as
nrf52840dk/nrf52840. The digest of an image is its MCUboot hash: what the slots report, and what
HELLO must begin with. SMP may share its line with TW1: each is open only while it is used.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict
from smp.exceptions import SMPException
from smp.os_management import BootloaderInformationReadResponse
from smpclient import SMPClient
from smpclient.exceptions import SMPClientException
from smpclient.generics import success
from smpclient.requests.image_management import ImageStatesRead, ImageStatesWrite, ImageUploadWrite
from smpclient.requests.os_management import (
    BootloaderInformationRead,
    OSApplicationInfoRead,
    ResetWrite,
)
from smpclient.transport import SMPTransportDisconnected
from smpclient.transport.serial import SMPSerialTransport

from firmware_bridge.devices import find
from firmware_bridge.mcuboot_image import image_hash
from firmware_bridge.update_target import (
    Backup,
    Identity,
    ReadBack,
    Reverted,
    Samples,
    TargetError,
    Written,
    same_image,
)

if TYPE_CHECKING:
    from firmware_bridge.update_programs import Runs

ANSWER_S = 3.0
ERASE_S = 40.0
"""The first chunk of an image erases its slot."""
BOOT_S = 60.0
"""How long MCUboot may take to swap two images and start one."""
MAX_RESETS = 4
_NO_WAY_BACK = {2: "overwrite-only", 4: "direct-xip without revert", 6: "as a RAM loader"}
_TROUBLE = (
    SMPClientException, SMPException, SMPTransportDisconnected, TimeoutError, OSError, ValueError
)  # fmt: skip

logging.getLogger("smpclient").setLevel(logging.CRITICAL)  # its trouble is told once, by us


class _ModeAnswer(BootloaderInformationReadResponse):  # type: ignore[misc]
    """How Zephyr answers: `mode` alone, without what smp 4 expects beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    bootloader: str = ""


class _ModeRead(BootloaderInformationRead):  # type: ignore[misc]
    _Response = _ModeAnswer


class SmpTarget:
    """A node with two slots, behind `Target`."""

    slots = 2
    chunk_bytes = 8192
    """Between two lines of the journal; on the line it goes in what the node's buffers take."""

    def __init__(
        self, device: str, runs: Runs, baud: int = 115_200, *, answer_s: float = ANSWER_S,
        boot_s: float = BOOT_S,
    ) -> None:  # fmt: skip
        self._device = device
        self._runs = runs
        self._baud = baud
        self._answer_s = answer_s
        self._boot_s = boot_s
        self._image = b""
        self._damaged = False

    def prepare(self, image: bytes) -> str:
        """Give the MCUboot hash of the image."""
        found = image_hash(image)
        self._image = image
        return found

    def identify(self) -> Identity:
        """Ask both slots, and the running image by TW1: what it says of itself must agree."""
        return self._told(self._run(self._identify))

    async def _identify(self, client: SMPClient) -> Identity:
        info = await self._ask(client, OSApplicationInfoRead(format="i"))
        mode = _mode(await self._ask(client, _ModeRead(query="mode"), optional=True))
        if mode in _NO_WAY_BACK:
            name = _NO_WAY_BACK[mode]
            raise TargetError(f"MCUboot is built {name}: it cannot go back, so it is not updated")
        active, _ = await self._images(client)
        running = b"" if active.hash is None else bytes(active.hash)
        return Identity(
            str(info.output).strip(), running.hex(), bool(active.confirmed), 2,
            version=_version(active.version),
        )  # fmt: skip

    def _told(self, identity: Identity) -> Identity:
        hello, battery_mv = self._runs.who()
        running, version = identity.running, identity.version
        if hello is not None and any(hello.image_hash):
            if not same_image(hello.image_hash.hex(), running):
                running = hello.image_hash.hex()
            version = hello.firmware if version is None else version
        return Identity(
            identity.board, running, identity.confirmed, 2, None, version, None, battery_mv
        )

    def backup(self) -> Backup:
        """Say which image runs: it is safe in its own slot."""
        return Backup(self._run(self._active_hash))

    async def _active_hash(self, client: SMPClient) -> str:
        active, _ = await self._images(client)
        if active.hash is None:
            raise TargetError("the node does not say the hash of its image: it cannot be named")
        return bytes(active.hash).hex()

    def write(self, offset: int, data: bytes) -> Written:
        """Write into the second slot. The node says what it wants next, and is believed."""
        return Written(self._run(lambda client: self._write(client, offset, offset + len(data))))

    async def _write(self, client: SMPClient, offset: int, end: int) -> int:
        while offset < end:
            first: dict[str, Any] = {}
            if offset == 0:
                digest = hashlib.sha256(self._image).digest()
                first = {"len": len(self._image), "sha": digest, "image": 0}
            empty = ImageUploadWrite(off=offset, data=b"", **first)
            room = min(client.get_max_cbor_and_data_size(empty)[1], end - offset)
            asked = ImageUploadWrite(off=offset, data=self._image[offset : offset + room], **first)
            answer = await self._ask(client, asked, ERASE_S if offset == 0 else 0.0)
            self._damaged = answer.match is False
            if answer.off is None or answer.off <= offset:
                return int(answer.off or 0)
            offset = answer.off
        return offset

    def read_back(self, size: int) -> ReadBack:
        """Give the hash of the second slot; what arrived damaged counts as nothing."""
        return ReadBack(self._run(self._second_hash))

    async def _second_hash(self, client: SMPClient) -> str:
        _, second = await self._images(client)
        if second is None or second.hash is None or self._damaged:
            return ""
        return bytes(second.hash).hex()

    def test_boot(self, digest: str) -> None:
        """Set the second slot for one boot, and restart."""

        async def boot(client: SMPClient) -> None:
            await self._ask(client, ImageStatesWrite(hash=bytes.fromhex(digest), confirm=False))
            await self._ask(client, ResetWrite())

        self._run(boot)
        self._wait()

    def samples(self, count: int) -> Samples:
        """Wait for samples of the running image."""
        return self._runs.samples(count)

    def confirm(self, digest: str) -> None:
        """Make the running image stay."""

        async def confirm(client: SMPClient) -> None:
            await self._ask(client, ImageStatesWrite(hash=bytes.fromhex(digest), confirm=True))

        self._run(confirm)

    def revert(self, old: str) -> Reverted:
        """Reset until MCUboot has gone back; an image that was confirmed is swapped for the old."""
        for _ in range(MAX_RESETS):
            found: Reverted | None = self._run(lambda client: self._go_back(client, old))
            if found is not None:
                return found
            self._wait()
        raise TargetError("the old image does not come back: reset the node, then resume")

    async def _go_back(self, client: SMPClient, old: str) -> Reverted | None:
        """Give what is there once nothing is left to do; else restart it on its way back."""
        active, second = await self._images(client)
        running = b"" if active.hash is None else bytes(active.hash)
        waiting = second is not None and bool(second.pending)
        if not waiting and active.confirmed:
            if running.hex() == old or second is None or second.hash is None:
                return Reverted(running.hex(), confirmed=True)
            if bytes(second.hash).hex() != old:
                return Reverted(running.hex(), confirmed=True)
            await self._ask(client, ImageStatesWrite(hash=bytes.fromhex(old), confirm=True))
        await self._ask(client, ResetWrite())
        return None

    def close(self) -> None:
        """Nothing is open between two calls."""

    async def _images(self, client: SMPClient) -> tuple[Any, Any]:
        """Give the running image and the other one, if there is one."""
        found = await self._ask(client, ImageStatesRead())
        first = [image for image in found.images if not image.image]
        active = next((image for image in first if image.active), None)
        if active is None:
            raise TargetError("no image says that it runs: is this MCUboot's serial recovery?")
        return active, next((image for image in first if image is not active), None)

    async def _ask(
        self, client: SMPClient, request: Any, limit_s: float = 0.0, *, optional: bool = False
    ) -> Any:
        answer = await client.request(request, max(limit_s, self._answer_s))
        if success(answer):
            return answer
        if optional:
            return None
        raise TargetError(f"the node refuses {type(request).__name__}: {_reason(answer)}")

    def _wait(self) -> None:
        """Wait until the node answers after a restart. TargetError if it does not."""
        end = time.monotonic() + self._boot_s
        while True:
            try:
                self._run(self._images)
            except TargetError:
                if time.monotonic() >= end:
                    raise
                time.sleep(0.2)
            else:
                return

    def _run(self, what: Any) -> Any:
        """Connect, do it, disconnect; every trouble becomes a TargetError."""
        device, reason = find(self._device)
        if reason:
            raise TargetError(f"{self._device}: {reason}")
        try:
            return asyncio.run(self._connected(device, what))
        except _TROUBLE as error:
            why = str(error) or "does not answer: power, cable, baud rate?"
            raise TargetError(f"{self._device}: {why.strip().splitlines()[0][:200]}") from error

    async def _connected(self, device: str, what: Any) -> Any:
        client = SMPClient(SMPSerialTransport(baudrate=self._baud), device, self._answer_s)
        try:
            await client.connect()
            return await what(client)
        finally:
            await client.disconnect()


def _mode(answer: Any) -> int | None:
    """Give the mode of MCUboot, where the node says it; in either form that it has."""
    found = getattr(answer, "mode", None)
    if found is None:
        found = getattr(getattr(answer, "response", None), "mode", None)
    return None if found is None else int(found)


def _version(text: str) -> tuple[int, int, int] | None:
    """Read "1.4.0" or "1.4.0.7", where the last number is the build."""
    parts = text.split(".")
    if len(parts) not in (3, 4) or not all(part.isdecimal() and len(part) < 6 for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def _reason(answer: Any) -> str:
    """Say why, of either kind of error that SMP has."""
    found = getattr(answer, "err", None)
    code = getattr(found, "rc", None) if found is not None else getattr(answer, "rc", None)
    return str(getattr(code, "name", code))

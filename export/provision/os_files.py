"""What Raspberry Pi OS reads at its first boot: cloud-init (Trixie), a script (Bookworm)."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from export.provision.network import network_config

if TYPE_CHECKING:
    from export.provision.site import Site

CMDLINE = "cmdline.txt"
_RUN = ("systemd.run=/boot/firmware/firstrun.sh systemd.run_success_action=reboot "
        "systemd.unit=kernel-command-line.target")  # fmt: skip
_MARK = "systemd.run="
_SEED = "ds=nocloud"

_FIRSTRUN = """\
#!/bin/sh
# Written by talus-export provision: Raspberry Pi OS Bookworm runs it once, and starts again.
# A step that fails does not keep the gateway from watching: the others go on.
set +e
name={hostname}
old=$(tr -d ' \\t\\n' </etc/hostname)
echo "$name" >/etc/hostname
sed -i "s/127\\.0\\.1\\.1.*$old/127.0.1.1\\t$name/" /etc/hosts
user={user}
id "$user" >/dev/null 2>&1 || useradd -m -s /bin/bash -G {groups} "$user" || useradd -m "$user"
echo "$user ALL=(ALL) NOPASSWD:ALL" >/etc/sudoers.d/010_talus-technician
chmod 440 /etc/sudoers.d/010_talus-technician
home=$(getent passwd "$user" | cut -d: -f6)
mkdir -p "$home/.ssh"
cat >"$home/.ssh/authorized_keys" <<'KEYS'
{keys}
KEYS
chown -R "$user:" "$home/.ssh"
chmod 700 "$home/.ssh"
chmod 600 "$home/.ssh/authorized_keys"
mkdir -p /etc/ssh/sshd_config.d
echo 'PasswordAuthentication no' >/etc/ssh/sshd_config.d/010-talus.conf
systemctl enable ssh
# The dialogue that asks for a user would wait for ever.
systemctl disable userconfig 2>/dev/null
ln -snf /usr/share/zoneinfo/{timezone} /etc/localtime
echo {timezone} >/etc/timezone
raspi-config nonint do_wifi_country {country} 2>/dev/null
rfkill unblock wifi 2>/dev/null
sh /boot/firmware/talus/start.sh later || sh /boot/talus/start.sh later
# Each step is on the card before the next: a power cut leaves a line that boots, and no line
# that wants a script which is gone.
for line in /boot/firmware/cmdline.txt /boot/cmdline.txt; do
    [ -f "$line" ] && sed 's| systemd\\.[a-z_]*=[^ ]*||g' "$line" >"$line.new" &&
        sync && mv "$line.new" "$line"
done
sync
rm -f /boot/firmware/firstrun.sh /boot/firstrun.sh
exit 0
"""
_GROUPS = "adm,dialout,sudo,plugdev,users,netdev,gpio,i2c,spi"


def os_files(site: Site, suite: str, instance: str) -> dict[str, str]:
    """Return the files beside talus/ on the boot partition."""
    if suite == "bookworm":
        return {"firstrun.sh": firstrun(site), "cmdline-add.txt": f"{_RUN}\n"}
    return {
        "user-data": user_data(site),
        "network-config": network_config(site),
        "meta-data": f'instance-id: "{instance}"\nlocal-hostname: "{site.hostname}"\n',
    }


def user_data(site: Site) -> str:
    """Return user-data. There is no secret in it: public keys, and no password."""
    user = {
        "name": site.user, "groups": _GROUPS, "shell": "/bin/bash", "lock_passwd": True,
        "sudo": "ALL=(ALL) NOPASSWD:ALL", "ssh_authorized_keys": list(site.ssh_keys),
    }  # fmt: skip
    if not site.ssh_keys:
        del user["ssh_authorized_keys"]
    place = "/boot/firmware/talus/start.sh"
    start = f"[ -f {place} ] || exec sh /boot/talus/start.sh{{0}}; exec sh {place}{{0}}"
    values = {
        "hostname": site.hostname, "manage_etc_hosts": True, "timezone": site.timezone,
        "ssh_pwauth": False, "users": [user],
        # runcmd is never run again when the power goes meanwhile; this is, at every boot.
        "bootcmd": [["sh", "-c", start.format(" later")]],
        "runcmd": [
            ["sh", "-c", "systemctl enable --now ssh || true"],
            ["sh", "-c", f"raspi-config nonint do_wifi_country {site.country} || true"],
            ["sh", "-c", start.format("")],
        ],
    }  # fmt: skip
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(["#cloud-config", "# Written by talus-export provision.", *lines, ""])


def firstrun(site: Site) -> str:
    """Return the script for Bookworm; what stands in it was checked to be plain words."""
    return _FIRSTRUN.format(
        hostname=shlex.quote(site.hostname), user=shlex.quote(site.user), groups=_GROUPS,
        keys="\n".join(site.ssh_keys), timezone=shlex.quote(site.timezone),
        country=shlex.quote(site.country),
    )  # fmt: skip


def instance_of(site: Site, made_s: int, content: str) -> str:
    """Return by what cloud-init knows that a card was written again, with whatever on it."""
    return f"talus-{site.name}-{made_s}-{content}"


def cmdline_for(suite: str, cmdline: str, instance: str) -> str:
    """Return a kernel command line with which the system reads this card's files."""
    return hooked(cmdline) if suite == "bookworm" else seeded(cmdline, instance)


def seeded(cmdline: str, instance: str) -> str:
    """Return a command line that tells the instance: cloud-init takes it from there first.

    Raspberry Pi Imager puts its own there, by which a card that was booted once would stay what it
    was. It also has cloud-init go on with what it knows where meta-data cannot be read any more.
    """
    words = [word for word in cmdline.split() if word.partition(";")[0] != _SEED]
    return " ".join([*words, f"{_SEED};i={instance}"]) + "\n"


def hooked(cmdline: str) -> str:
    """Return a kernel command line that runs firstrun.sh at the next boot, once."""
    if _MARK in cmdline:
        return cmdline
    return f"{cmdline.strip()} {_RUN}\n"

#!/bin/sh
# Puts talus-firstboot on the system, and has it started now and until it is done.
# Called by cloud-init (Trixie) or firstrun.sh (Bookworm); safe to be run again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${TALUS_ROOT:-}
if ! (cd "$here" && sha256sum --quiet -c talus-firstboot.sha256); then
    echo "Talus: talus-firstboot on this card is damaged: write the card again" \
        >"$here/../talus-status.txt"
    exit 1
fi
lib=$root/usr/local/lib/talus
units=$root/etc/systemd/system
mkdir -p "$lib" "$units"
for file in talus-firstboot; do
    cp "$here/$file" "$lib/.$file.new"
    chmod 755 "$lib/.$file.new"
    mv "$lib/.$file.new" "$lib/$file"
done
for unit in talus-firstboot.service talus-firstboot.timer; do
    cp "$here/$unit" "$units/$unit"
    chmod 644 "$units/$unit"
done
mkdir -p "$units/multi-user.target.wants" "$units/timers.target.wants"
ln -sf ../talus-firstboot.service "$units/multi-user.target.wants/talus-firstboot.service"
ln -sf ../talus-firstboot.timer "$units/timers.target.wants/talus-firstboot.timer"
sync
if [ -z "$root" ] && [ -d /run/systemd/system ] && [ "${1:-}" != later ]; then
    systemctl daemon-reload
    systemctl start --no-block talus-firstboot.service talus-firstboot.timer
fi

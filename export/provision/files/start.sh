#!/bin/sh
# Puts talus-firstboot on the system, and has it started now and until it is done.
# Called by cloud-init (Trixie; at every boot with "later", should the power have gone before it
# was called without) or by firstrun.sh (Bookworm); safe to be run again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${TALUS_ROOT:-}
mark=$root/var/lib/talus-firstboot/done
card=$(sha256sum <"$here/manifest.json" | cut -c1-16)
if [ -n "$card" ] && [ "$(cat "$mark" 2>/dev/null)" = "$card" ]; then
    exit 0 # for this very card; one that was written again is begun again
fi
if ! (cd "$here" && sha256sum --quiet -c talus-firstboot.sha256); then
    echo "Talus: talus-firstboot on this card is damaged: write the card again" \
        >"$here/../talus-status.txt"
    exit 1
fi
lib=$root/usr/local/lib/talus
units=$root/etc/systemd/system
mkdir -p "$lib" "$units"
put() { # file, folder, mode: whole or not at all, and not again at every boot
    cmp -s "$here/$1" "$2/$1" && return
    cp "$here/$1" "$2/.$1.new"
    chmod "$3" "$2/.$1.new"
    mv "$2/.$1.new" "$2/$1"
}
put talus-firstboot "$lib" 755
put talus-firstboot.service "$units" 644
put talus-firstboot.timer "$units" 644
mkdir -p "$units/multi-user.target.wants" "$units/timers.target.wants"
ln -sf ../talus-firstboot.service "$units/multi-user.target.wants/talus-firstboot.service"
ln -sf ../talus-firstboot.timer "$units/timers.target.wants/talus-firstboot.timer"
rm -f "$mark"
sync
if [ -z "$root" ] && [ -d /run/systemd/system ] && [ "${1:-}" != later ]; then
    systemctl daemon-reload
    systemctl start --no-block talus-firstboot.service talus-firstboot.timer
fi

#!/bin/sh
# Installs Talus from this folder, without network, into an environment of its own.
#   sudo ./install.sh [/opt/talus]
# On failure nothing is changed: `current` is switched last.
set -eu
cd "$(dirname "$0")"
root=${1:-/opt/talus}
version='@VERSION@'
python='python@PYTHON@'

case "$(uname -m)" in
  @MACHINE@) ;;
  *) echo "install: this folder is for @ARCH@, and this is $(uname -m)" >&2; exit 1 ;;
esac
sha256sum --check --quiet sha256sums || { echo "install: the folder is damaged" >&2; exit 1; }

releases=$root/releases
mkdir -p "$releases"
name=$version
n=1
while [ -e "$releases/$name" ]; do
  n=$((n + 1))
  name=$version.$n
done
trap 'rm -rf "$releases/$name"' EXIT
standalone=$(ls python-*.tar.* 2>/dev/null || true)
if command -v "$python" >/dev/null; then
  python=$(command -v "$python")
elif [ -n "$standalone" ]; then # each release has its own: another one may be running
  mkdir -p "$releases/$name/python"
  tar -xf "$standalone" -C "$releases/$name/python" --strip-components=1
  python=$releases/$name/python/bin/$python
  [ -x "$python" ] || { echo "install: $standalone holds no bin/python@PYTHON@" >&2; exit 1; }
else
  echo "install: no $python here. @NOTE@" >&2
  exit 1
fi
"$python" -I -m venv --without-pip "$releases/$name"
"$releases/$name/bin/python" -I - "$releases/$name" <<'END'
import os, pathlib, runpy, sys
sys.path.insert(0, str(next(pathlib.Path("wheels").glob("pip-*.whl"))))
sys.argv = ["pip", "--isolated", "install", "--quiet", "--no-index", "--no-deps",
            "--disable-pip-version-check", "--require-hashes",
            "--find-links", "wheels", "-r", "requirements.txt"]
os.environ["PIP_CONFIG_FILE"] = os.devnull
runpy.run_module("pip", run_name="__main__")
END
"$releases/$name/bin/talus" --version
sync
old=$(readlink "$root/current" 2>/dev/null || true)
if [ -n "$old" ] && [ -d "$root/$old" ]; then
  ln -sfn "$old" "$root/.previous.new"
  mv -fT "$root/.previous.new" "$root/previous"
fi
ln -sfn "releases/$name" "$root/.current.new"
mv -fT "$root/.current.new" "$root/current"
trap - EXIT
for each in "$releases"/*; do
  case "releases/${each##*/}" in
    "releases/$name" | "$old") ;; # what runs now may still load from $old
    *) rm -rf "$each" ;;
  esac
done
cp talus.service gateway.toml "$root/current/"
cat <<END
installed: $root/current/bin/talus
as a service, as root, once:
  ln -sf $root/current/bin/talus /usr/bin/talus
  useradd --system --user-group --home-dir /var/lib/talus --shell /usr/sbin/nologin talus
  usermod --append --groups dialout talus
  install -D -o root -g talus -m 0640 $root/current/gateway.toml /etc/talus/gateway.toml
  cp $root/current/talus.service /etc/systemd/system/ && systemctl enable --now talus
END

"""A site to be provisioned, with real parts: broker folder, bundle, a tiny .deb by dpkg-deb."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import edge
from export.__main__ import main
from export.image.tools import missing

GATEWAY = """\
[gateway]
name = "{name}"
data_dir = "/var/lib/talus"

[trust]
allow_unsigned = true

[mqtt]
host = "127.0.0.1"
port = 8883
topic = "talus"
{tls}

[[port]]
name = "node"
device = "/dev/ttyUSB0"
protocol = "tw1"

[[station]]
name = "slope"
bundle = "bundle"
step_s = 600

[[station.channel]]
name = "crack_1"
port = "node"
quantity = "crack_width"
unit = "mm"
low = -500
high = 5000
"""
TLS = 'ca_file = "tls/ca.crt"\ncert_file = "tls/gateway.crt"\nkey_file = "tls/gateway.key"'
SITE = """\
[gateway]
name = "{name}"
config = "gateway.toml"
country = "NO"
timezone = "Europe/Oslo"

[login]
ssh_keys = ["ssh-ed25519 {blob} me"]

[network.ethernet]

[network.wifi]
ssid = "slope"
password = "correct horse"

[network.cellular]
apn = "internet"
pin = "1234"

[broker]
ca = "broker/authority/ca.crt"
{identity}
"""
MADE = 'certificate = "broker/gateways/{0}/gateway.crt"\nkey = "broker/gateways/{0}/gateway.key"'
TOKEN = 'token = "broker/enrol/{}.json"'
BUNDLE = Path(edge.__file__).parent / "demo" / "bundle"


def need(*packages: str) -> pytest.MarkDecorator:
    """Skip, and say so, where the tools of a package are missing."""
    absent = sorted(missing() & set(packages))
    if "dpkg" in packages and shutil.which("dpkg-deb") is None:
        absent.append("dpkg")
    return pytest.mark.skipif(bool(absent), reason=f"NOT TESTED: apt install {' '.join(absent)}")


def make_deb(
    folder: Path, *, arch: str = "all", version: str = "1.2.3", depends: str = "", paho: bool = True
) -> Path:
    """A package that looks like ours: a release, the link ``current``, and paho in it."""
    tree = folder / f"tree-{version}-{arch}"
    lib = tree / "opt/talus/releases" / version / "lib"
    (tree / "DEBIAN").mkdir(parents=True)
    lib.mkdir(parents=True)
    (lib / "README").write_text(version, encoding="utf-8")
    if paho:
        found = find_spec("paho")
        assert found is not None
        shutil.copytree(next(iter(found.submodule_search_locations or ())), lib / "paho")
    (tree / "opt/talus/current").symlink_to(f"releases/{version}")
    fields = [f"Package: talus-edge\nVersion: {version}\nArchitecture: {arch}",
              "Maintainer: nobody <nobody@example.org>\nDescription: of the tests"]  # fmt: skip
    fields += [f"Depends: {depends}"] if depends else []
    (tree / "DEBIAN/control").write_text("\n".join(fields) + "\n", encoding="utf-8")
    out = folder / f"talus_{version}_{arch}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z1", "--build", tree, out]
    subprocess.run(command, check=True, capture_output=True)
    return out


def make_site(folder: Path, identity: str = MADE, *, name: str = "gw1", tls: str = TLS) -> Path:
    """site.toml and gateway.toml beside a broker's folder; returns site.toml."""
    folder.mkdir(exist_ok=True)
    if not (folder / "broker").exists():
        words = ["--out", str(folder / "broker"), "--host", "127.0.0.1", "--gateway", name]
        assert main(["broker", *words]) == 0
    blob = "AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
    text = SITE.format(name=name, identity=identity.format(name), blob=blob)
    (folder / "site.toml").write_text(text, encoding="utf-8")
    (folder / "gateway.toml").write_text(GATEWAY.format(name=name, tls=tls), encoding="utf-8")
    return folder / "site.toml"


def provision(site: Path, deb: Path, out: Path, *more: str) -> int:
    words = ["--site", str(site), "--deb", str(deb), "--out", str(out), "--bundle", str(BUNDLE)]
    return main(["provision", *words, *more])


def make_root(folder: Path, card: Path | None = None) -> Path:
    """A root that dpkg takes for a system: its database, users, NetworkManager."""
    for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "boot/firmware", "var/lib/talus",
                 "etc/NetworkManager/system-connections", "dev", "tmp"):  # fmt: skip
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("status", "available"):
        (folder / "var/lib/dpkg" / name).touch()
    users = "root:x:0:0:root:/root:/bin/sh\ntalus:x:4711:4712::/var/lib/talus:/bin/false\n"
    (folder / "etc/passwd").write_text(users, encoding="utf-8")
    if card is not None:
        shutil.copytree(card, folder / "boot/firmware", dirs_exist_ok=True)
    return folder


def csr_of(key: object = None, name: str = "gw1") -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

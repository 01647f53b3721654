"""A private CA: it signs the certificates of one broker, its gateways and its operations room."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.errors import TalusError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

CA_DAYS = 20 * 365
BACKDATED = timedelta(days=1)
"""Certificates hold since yesterday: the clock of a gateway may be slow."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its certificate, both PEM."""

    key: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class Authority:
    """The CA. Whoever has its key can make a gateway of anything."""

    pair: Pair

    @classmethod
    def make(cls, name: str, now: datetime | None = None) -> Self:
        """Make a new CA."""
        now = now or datetime.now(timezone.utc)
        key = _new_key()
        ends = now + timedelta(days=CA_DAYS)
        builder = _builder(name, name, key.public_key(), now - BACKDATED, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(signs_certificates=True), True)
        return cls(_pair(key, builder.sign(key, hashes.SHA256())))

    def server(self, hosts: Iterable[str], days: int, now: datetime | None = None) -> Pair:
        """Sign a certificate for the broker under all its names and addresses."""
        names = [_alternative(host) for host in hosts]
        usage = ExtendedKeyUsageOID.SERVER_AUTH
        return self._pair(str(names[0].value), days, now, usage, x509.SubjectAlternativeName(names))

    def client(self, name: str, days: int, now: datetime | None = None) -> Pair:
        """Sign a certificate for a gateway or the room; its name is the broker's user name.

        It holds for ``days`` from ``now``, which tests put into the past.
        """
        return self._pair(name, days, now, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def certify(self, name: str, key: ec.EllipticCurvePublicKey, days: int) -> bytes:
        """Sign a client's certificate for a key that was made elsewhere, and stays there."""
        found = self._sign(name, key, days, None, ExtendedKeyUsageOID.CLIENT_AUTH, None)
        return found.public_bytes(serialization.Encoding.PEM)

    def _pair(
        self,
        name: str,
        days: int,
        now: datetime | None,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
    ) -> Pair:
        key = _new_key()
        return _pair(key, self._sign(name, key.public_key(), days, now, usage, names))

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        days: int,
        now: datetime | None,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        now = now or datetime.now(timezone.utc)
        ours, secret = self._open()
        ends = min(now + timedelta(days=days), ours.not_valid_after_utc)
        issuer = str(ours.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        builder = _builder(name, issuer, key, now - BACKDATED, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(signs_certificates=False), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(secret.public_key())
        builder = builder.add_extension(issued_by, False)
        if names is not None:
            builder = builder.add_extension(names, False)
        return builder.sign(secret, hashes.SHA256())

    def _open(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Return certificate and key. Raises TalusError where they are not, or do not match."""
        try:
            ours = x509.load_pem_x509_certificate(self.pair.certificate)
            secret = serialization.load_pem_private_key(self.pair.key, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise TalusError(f"the CA cannot be read: {error}") from error
        if not isinstance(secret, ec.EllipticCurvePrivateKey):
            raise TalusError("the key of the CA is of another kind than this command makes")
        if ours.public_key() != secret.public_key():
            raise TalusError("the key of the CA does not belong to its certificate")
        return ours, secret


def ends_at(certificate: bytes) -> datetime:
    """Return until when a certificate holds. Raises ValueError."""
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc


def _alternative(host: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Pair:
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Pair(secret, certificate.public_bytes(serialization.Encoding.PEM))

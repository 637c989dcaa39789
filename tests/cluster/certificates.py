"""Who is who in a cluster: an authority, what it signs, and kubeconfigs made of that."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LIFE = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for one cluster."""

    def __init__(self, directory: Path, name: str = "kubernetes") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        own = [(x509.BasicConstraints(ca=True, path_length=None), True), (usage, True)]
        self.pair = self._written("ca", self._name, self._key, own)

    def issue(
        self, file: str, name: str, *, groups: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> Pair:
        """Make a certificate for a user in groups, or for a server that is known as hosts."""
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.ExtendedKeyUsage([purpose]), False)
        ]
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            extensions.append((names, False))
        key = ec.generate_private_key(ec.SECP256R1())
        return self._written(file, _name(name, groups), key, extensions)

    def _written(
        self,
        file: str,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
    ) -> Pair:
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number()
        )
        builder = builder.not_valid_before(now - dt.timedelta(minutes=5))
        builder = builder.not_valid_after(now + _LIFE)
        identifiers = [  # as Go adds them, and strict clients want them
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False),
        ]
        for extension, critical in [*extensions, *identifiers]:
            builder = builder.add_extension(extension, critical)
        pair = Pair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        signed = builder.sign(self._key, hashes.SHA256())
        pair.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        _write_key(pair.key, key)
        return pair


def signing_key(directory: Path, file: str) -> Pair:
    """Make a pair of keys without a certificate; its public half stands for one."""
    key = ec.generate_private_key(ec.SECP256R1())
    pair = Pair(directory / f"{file}.pub", directory / f"{file}.key")
    pair.certificate.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    _write_key(pair.key, key)
    return pair


def write_kubeconfig(path: Path, *, server: str, authority: Path, user: Pair) -> Path:
    """Write a kubeconfig that names its certificates by their files."""
    access: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "cluster",
                "cluster": {"server": server, "certificate-authority": str(authority)},
            }
        ],
        "users": [
            {
                "name": "user",
                "user": {
                    "client-certificate": str(user.certificate),
                    "client-key": str(user.key),
                },
            }
        ],
        "contexts": [{"name": "it", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "it",
    }
    path.write_text(json.dumps(access, indent=2))  # JSON is YAML
    return path


def _name(name: str, groups: Sequence[str] = ()) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.touch(mode=0o600)
    path.write_bytes(pem)

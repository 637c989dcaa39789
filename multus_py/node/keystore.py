"""Certificates and their keys on disk: one file for each pair, a link to the one in use.

Knows files and X.509; knows no API server. A pair is used if nobody else could have read or written
it, if the two fit together and if it has not ended.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.adapters import atomic
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_LOG = logging.getLogger(__name__)

_PREFIX = "multus-client-"
_SUFFIX = ".pem"
_CURRENT = f"{_PREFIX}current{_SUFFIX}"
_TIME = "%Y-%m-%d-%H-%M-%S"


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key."""

    pem: bytes
    begins: dt.datetime
    ends: dt.datetime


class Keystore:
    """A directory with pairs for one name; ``name`` is the common name that they must have."""

    def __init__(self, directory: str, *, name: str) -> None:
        self._directory = directory
        self._name = name

    @property
    def path(self) -> str:
        """The file of the pair in use."""
        return os.path.join(self._directory, _CURRENT)

    def load(self) -> Pair | None:
        """Return the pair in use, None if there is none that can be used."""
        try:
            with open(self.path, "rb") as file:
                _require_own(os.fstat(file.fileno()))
                return self._pair(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _LOG.warning("the certificate %s is not used: %s", self.path, error)
            return None

    def save(self, pem: bytes) -> Pair:
        """Make this the pair in use; nobody else ever has a part of it or can read it."""
        try:
            pair = self._pair(pem)
        except ValueError as error:
            raise CniError(
                Code.API_FAILURE,
                f"the certificate that was signed is of no use: {error}",
                "see who signs certificates for kubernetes.io/kube-apiserver-client",
            ) from error
        try:
            self._write(pem)
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE,
                f"cannot keep a certificate in {self._directory}: {error.strerror}",
                "name a directory in memory that can be written, such as one below /run",
            ) from error
        return pair

    def _write(self, pem: bytes) -> None:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        mark = secrets.token_hex(8)  # nobody can have made a file of that name before
        name = f"{_PREFIX}{dt.datetime.now(dt.UTC).strftime(_TIME)}-{mark[:4]}{_SUFFIX}"
        path = os.path.join(self._directory, name)
        atomic.write(path, pem, temporary=f"{path}.{mark}")
        link = f"{self.path}.{mark}"
        os.symlink(name, link)
        before = os.path.basename(os.path.realpath(self.path))
        os.rename(link, self.path)
        self._prune({_CURRENT, name, before})  # somebody may just be opening the one before

    def _prune(self, kept: set[str]) -> None:
        """Remove keys that nobody needs any more, and what was left of a write that was cut off."""
        for name in set(os.listdir(self._directory)) - kept:
            if name.startswith(_PREFIX):
                with suppress(OSError):
                    os.unlink(os.path.join(self._directory, name))

    def _pair(self, pem: bytes) -> Pair:
        """Return what a file holds; ``ValueError`` if that cannot be used."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        certificate = x509.load_pem_x509_certificate(pem)
        key = load_pem_private_key(pem, None)
        if key.public_key() != certificate.public_key():
            raise ValueError("certificate and key do not fit together")
        if common_name(certificate) != self._name:
            raise ValueError(f"it is not for {self._name}")
        if certificate.not_valid_after_utc <= dt.datetime.now(dt.UTC):
            raise ValueError("it has ended")
        return Pair(pem, certificate.not_valid_before_utc, certificate.not_valid_after_utc)


def _require_own(found: os.stat_result) -> None:
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ValueError("others can read it, or wrote it")


def common_name(certificate: Certificate) -> str:
    """Return the common name, empty unless there is exactly one."""
    from cryptography.x509.oid import NameOID

    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""

"""Certificates and keys on disk."""

from __future__ import annotations

import datetime as dt
import os
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from multus_py.cni.errors import CniError, Code
from multus_py.node.keystore import Keystore

if TYPE_CHECKING:
    from pathlib import Path

NAME = "system:multus:node"
CURRENT = "multus-client-current.pem"


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def pair(name: str = NAME, *, seconds: float = 600, other_key: bool = False) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(seconds=seconds))
        .sign(key, hashes.SHA256())
    )
    kept = ec.generate_private_key(ec.SECP256R1()) if other_key else key
    return certificate.public_bytes(serialization.Encoding.PEM) + key_pem(kept)


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(str(tmp_path / "certs"), name=NAME)


def test_what_is_saved_is_in_use_by_a_link(store: Keystore, tmp_path: Path) -> None:
    pem = pair()
    saved = store.save(pem)
    assert store.load() == saved
    assert (saved.pem, store.path) == (pem, str(tmp_path / "certs" / CURRENT))
    target = os.readlink(store.path)
    assert target.startswith("multus-client-2")
    assert (tmp_path / "certs" / target).read_bytes() == pem


def test_nobody_else_can_read_it(store: Keystore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.save(pair())
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "certs").iterdir()}
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "certs").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_use_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "somebody's").write_text("file")
    Keystore(str(shared), name=NAME).save(pair())
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert (shared / "somebody's").exists()


def test_old_keys_are_removed_but_the_one_before(store: Keystore, tmp_path: Path) -> None:
    targets = []
    for _ in range(5):
        store.save(pair())
        targets.append(os.readlink(store.path))
    names = {path.name for path in (tmp_path / "certs").iterdir()}
    assert names == {CURRENT, *targets[-2:]}


def test_what_a_killed_process_left_is_removed(store: Keystore, tmp_path: Path) -> None:
    store.save(pair())
    (tmp_path / "certs" / "multus-client-2026-01-01-00-00-00-aaaa.pem.0123").write_text("half")
    store.save(pair())
    assert not list((tmp_path / "certs").glob("*.0123"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pair(seconds=-1), "it has ended"),
        (pair("system:multus:another"), "it is not for system:multus:node"),
        (pair(other_key=True), "do not fit together"),
        (b"", ""),
        (pair()[:-60], ""),
        (pair().partition(b"-----BEGIN EC")[0], ""),
    ],
    ids=["ended", "of another node", "of another key", "empty", "cut off", "no key"],
)
def test_what_is_of_no_use_is_not_used(
    store: Keystore, caplog: pytest.LogCaptureFixture, content: bytes, words: str
) -> None:
    store.save(pair())
    with open(store.path, "wb") as file:
        file.write(content)
    assert store.load() is None
    assert f"{store.path} is not used: " in caplog.text
    assert words in caplog.text
    with pytest.raises(CniError, match="of no use") as caught:
        store.save(content)
    assert caught.value.code == Code.API_FAILURE


def test_what_others_could_read_is_not_used(
    store: Keystore, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(pair())
    os.chmod(store.path, 0o640)
    assert store.load() is None
    assert "others can read it" in caplog.text


def test_what_others_wrote_is_not_used(store: Keystore, caplog: pytest.LogCaptureFixture) -> None:
    store.save(pair())
    os.chown(store.path, 1, 1)
    assert store.load() is None
    assert "wrote it" in caplog.text


def test_nothing_is_no_complaint(store: Keystore, caplog: pytest.LogCaptureFixture) -> None:
    assert store.load() is None
    assert not caplog.text


def test_a_directory_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CniError) as caught:
        Keystore(str(tmp_path / "file" / "certs"), name=NAME).save(pair())
    assert caught.value.code == Code.IO_FAILURE
    assert "below /run" in caught.value.hint

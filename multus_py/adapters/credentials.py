"""Who we are to an API server: clients made of kubeconfigs, certificates and service accounts.

Knows files and what makes a client of them; makes no request. What a kubeconfig holds itself stays
in memory: the client library would write keys to a temporary file, which a kill leaves behind.
"""

from __future__ import annotations

import base64
import os
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from multus_py.adapters import kubeconfig
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kubernetes.client import Configuration
    from kubernetes.client.rest import RESTClientObject

    from multus_py.cni.document import JsonObject

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"

PARALLEL = 16
"""Requests at once; more wait for one of these to end. Streams do not count."""

_Stamp: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Access:
    """A client for an API server, and the credential that it is made of."""

    client: RESTClientObject
    name: str
    """What a person calls the credential, with the path of its file."""
    hint: str
    """The next step if it is refused."""
    seen: Mapping[str, _Stamp | None]
    """The files that it was read from, and what they were like."""

    @property
    def stale(self) -> bool:
        """Whether its files are others than those it was read from."""
        return any(_stamp(path) != stamp for path, stamp in self.seen.items())


def from_kubeconfig(path: str, *, certificate: str = "") -> Access:
    """Return access by the current context of a kubeconfig.

    ``certificate`` is a file with a certificate and its key, to be used in place of the user's
    credentials.
    """
    seen = {path: _stamp(path)}
    cluster, user = kubeconfig.current(path)
    name, hint = f"the credential of the kubeconfig {path}", "renew it"
    if certificate:
        user = {"client-certificate": certificate, "client-key": certificate}
        name, hint = (
            f"the certificate {certificate}",
            "see why it is not renewed (docs/credentials.md)",
        )
    files = [
        str(part[key]) for part in (cluster, user) for key in kubeconfig.FILES if part.get(key)
    ]
    seen |= _stamps(files)
    user = kubeconfig.with_one_token(user)
    if "tokenFile" in user:
        name = f"the token {user['tokenFile']} of the kubeconfig {path}"
    return Access(_from_context(path, cluster, user), name, hint, seen)


def from_service_account(environ: Mapping[str, str], *, directory: str = SERVICE_ACCOUNT) -> Access:
    """Return access by the service account of the pod that this process is in."""
    token, authority = (os.path.join(directory, name) for name in ("token", "ca.crt"))
    seen = _stamps([token, authority])
    configuration = _configuration()
    configuration.host = server_url(environ)
    configuration.ssl_ca_cert = authority
    for path in (authority, token):
        configuration.api_key["BearerToken"] = _word(path)
    name = f"the service account's token {token}"
    hint = "see that the service account exists and the kubelet renews the pod's token"
    return Access(_client(configuration), name, hint, seen)


def source(path: str, environ: Mapping[str, str], *, otherwise: str) -> Callable[[], Access]:
    """Return what reads the kubeconfig at a path or, without one, the pod's service account.

    Outside of a pod that is an error, with ``otherwise`` as the next step.
    """
    if path:
        return lambda: from_kubeconfig(path)
    if not environ.get("KUBERNETES_SERVICE_HOST"):
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            "there is no cluster: no --kubeconfig, and no KUBERNETES_SERVICE_HOST as in a pod",
            otherwise,
        )
    return lambda: from_service_account(environ)


def server_url(environ: Mapping[str, str]) -> str:
    """Return the address of the API server, as the environment of a pod has it."""
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def cluster(path: str) -> JsonObject:
    """Return the cluster of a kubeconfig's current context, with the authority itself in it."""
    found, _ = kubeconfig.current(path)
    authority = found.pop("certificate-authority", "")
    if authority and not found.get("certificate-authority-data"):
        try:
            with open(authority, "rb") as file:
                content = base64.b64encode(file.read())
        except OSError as error:
            raise kubeconfig.useless(path, error) from error
        found["certificate-authority-data"] = content.decode()
    return found


def _word(path: str) -> str:
    """Return the content of a file of the service account, which must have some."""
    try:
        with open(path) as file:
            content = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _no_account(str(error)) from error
    if not content:
        raise _no_account(f"{path} is empty")
    return content


def _no_account(cause: str) -> CniError:
    return CniError(
        Code.API_REFUSED,
        f"there is a cluster in the environment, but no service account: {cause}",
        "set kubeconfig, or mount the service account's token",
    )


# -- kubeconfigs


def _from_context(path: str, cluster: JsonObject, user: JsonObject) -> RESTClientObject:
    configuration = _configuration()
    memory: list[int] = []
    try:
        kubeconfig.configure(
            configuration, kubeconfig.in_memory(cluster, memory), kubeconfig.in_memory(user, memory)
        )
        _check_server(configuration.host, path)
        client = _client(configuration)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        _close(memory)
        raise kubeconfig.useless(path, error) from error
    except CniError:
        _close(memory)
        raise
    weakref.finalize(client, _close, memory).atexit = False
    return client


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _check_server(server: object, path: str) -> None:
    """Refuse what is no address of a server. A request to it would look like one that passes."""
    from urllib3.exceptions import LocationValueError
    from urllib3.util import parse_url

    try:
        url = parse_url(str(server))
        usable = url.scheme in {"http", "https"} and bool(url.host)
    except LocationValueError:
        usable = False
    if not usable:
        raise CniError(
            Code.API_REFUSED,
            f"the kubeconfig {path} names {str(server)!r} as server, which is no address of one",
            "write https://NAME-OR-ADDRESS:PORT",
        )


# -- clients and files


def _configuration() -> Configuration:
    from kubernetes.client import Configuration

    return Configuration()


def _client(configuration: Configuration) -> RESTClientObject:
    """Return a client without the HTTP library's own repetitions, which know no deadline.

    It is the part of the library that speaks HTTP. The one around it turns JSON into objects, which
    nobody here wants, and takes milliseconds to import what that needs.
    Connections are kept for all that ask at once, and probed, as some die without a word.
    Authorities need not have every extension of RFC 5280, which Python asks for from 3.13 on and
    no other program of a cluster does.
    """
    import ssl

    from kubernetes.client.rest import RESTClientObject
    from urllib3.util.ssl_ import create_urllib3_context

    configuration.retries = False
    configuration.keep_alive = True
    configuration.connection_pool_maxsize = PARALLEL + 4
    client = RESTClientObject(configuration)
    context = create_urllib3_context(
        cert_reqs=ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
        verify_flags=ssl.VERIFY_X509_PARTIAL_CHAIN,
    )
    client.pool_manager.connection_pool_kw["ssl_context"] = context
    return client


def _stamps(paths: Sequence[str]) -> dict[str, _Stamp | None]:
    return {path: _stamp(path) for path in paths}


def _stamp(path: str) -> _Stamp | None:
    """Return what differs when a file was written or replaced, None without one."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

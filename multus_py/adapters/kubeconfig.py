"""Kubeconfigs: the current context, and what it makes of the configuration of a client.

Knows files and what the client library understands by them; makes no client.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from kubernetes.client import Configuration

    from multus_py.cni.document import JsonObject

FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Members of a kubeconfig that name files. But for the last, ``-data`` after the name inlines."""

_ASKED = frozenset({"auth-provider", "exec"})
"""Members of a user that name whom to ask for a token."""


def current(path: str) -> tuple[JsonObject, JsonObject]:
    """Return cluster and user of the current context; files in them have absolute paths."""
    try:
        with open(path, "rb") as file:
            config = _decoded(file.read())
        context = _named(config, "context", config.get("current-context"))
        cluster = _named(config, "cluster", context.get("cluster"))
        user = _named(config, "user", context["user"]) if context.get("user") else {}
        return _absolute(cluster, path), _absolute(user, path)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise useless(path, error) from error


def _decoded(content: bytes) -> Any:
    """Return what a kubeconfig holds, which is YAML: as JSON if it is that too, as ours are."""
    try:
        return json.loads(content)
    except ValueError:
        import yaml  # milliseconds that JSON does not need

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _named(config: Any, kind: str, name: object) -> JsonObject:
    """Return the member of this name in the list of a kind."""
    for entry in config.get(f"{kind}s") or []:
        if entry.get("name") == name and isinstance(entry.get(kind), dict):
            found: JsonObject = entry[kind]
            return found
    raise ValueError(f"it has no {kind} {name!r}")


def _absolute(part: JsonObject, path: str) -> JsonObject:
    directory = os.path.dirname(os.path.abspath(path))
    paths = {key: os.path.join(directory, part[key]) for key in FILES if part.get(key)}
    return part | paths


def with_one_token(user: JsonObject) -> JsonObject:
    """Return a user with its token from one source, chosen as client-go does.

    The file goes first, as what is in it rotates. The token beside it is for the time that the file
    cannot be read. The library would take the latter always.
    """
    if not user.get("tokenFile"):
        return user
    outdone = "tokenFile" if user.get("token") and not _holds_token(user["tokenFile"]) else "token"
    return {key: value for key, value in user.items() if key != outdone}


def _holds_token(path: str) -> bool:
    try:
        with open(path) as file:
            return bool(file.read().strip())
    except (OSError, UnicodeDecodeError):
        return False


def in_memory(part: JsonObject, memory: list[int]) -> JsonObject:
    """Return a part of a kubeconfig with all that it holds of certificates and keys in files.

    They exist in memory only, until those descriptors are closed.
    """
    whole = dict(part)
    for key in FILES:
        content = whole.pop(f"{key}-data", None)
        if content:
            memory.append(os.memfd_create(key))
            with open(memory[-1], "wb", closefd=False) as file:
                file.write(base64.b64decode(content))
            whole[key] = f"/proc/self/fd/{memory[-1]}"
    return whole


def configure(configuration: Configuration, cluster: JsonObject, user: JsonObject) -> None:
    """Set what a cluster and a user say. Errors are those of their members: see :func:`useless`."""
    if _ASKED & user.keys():
        _set_by_asking(configuration, cluster, user)
    else:
        _set(configuration, cluster, user)


def _set(configuration: Configuration, cluster: JsonObject, user: JsonObject) -> None:
    """Set what the library's loader sets, without what it imports to ask others for a token.

    That takes longer than everything else about a request. The tests compare the two.
    """
    authorization = _authorization(user)
    if authorization:
        configuration.api_key["BearerToken"] = authorization
    if "server" in cluster:
        configuration.host = _value(cluster, "server").rstrip("/")
        if configuration.host.startswith("https"):
            configuration.ssl_ca_cert = _file(cluster, "certificate-authority")
            configuration.cert_file = _file(user, "client-certificate")
            configuration.key_file = _file(user, "client-key")
    if "insecure-skip-tls-verify" in cluster:
        configuration.verify_ssl = not _value(cluster, "insecure-skip-tls-verify")
    if "tls-server-name" in cluster:
        configuration.tls_server_name = _value(cluster, "tls-server-name")
    if "proxy-url" in cluster:
        configuration.proxy = _value(cluster, "proxy-url")


def _authorization(user: JsonObject) -> str:
    """Return what tells who a user is in a header, nothing without a token or a password."""
    if "token" in user:
        token = _value(user, "token")
    elif "tokenFile" in user:
        with open(os.path.normpath(_value(user, "tokenFile"))) as file:
            token = file.read()
    else:
        token = ""
    if token:
        return f"Bearer {token}"
    if "username" in user and "password" in user:
        from urllib3.util import make_headers

        names = _value(user, "username") + ":" + _value(user, "password")
        return str(make_headers(basic_auth=names)["authorization"])
    return ""


def _file(part: JsonObject, key: str) -> str | None:
    """Return the path of a file that has to be there, None if a kubeconfig names none."""
    if key not in part:
        return None
    path = str(os.path.normpath(_value(part, key)))
    if not os.path.isfile(path):
        raise ValueError(f"there is no file {path}")
    return path


def _value(part: JsonObject, key: str) -> Any:
    value = part[key]
    if value is None or isinstance(value, (dict, list)):
        raise ValueError(f"its {key} is {document.kind(value)}")
    return value


def _set_by_asking(configuration: Configuration, cluster: JsonObject, user: JsonObject) -> None:
    """Set what the library's loader sets, which runs programs and asks providers."""
    from kubernetes.config.config_exception import ConfigException
    from kubernetes.config.kube_config import KubeConfigLoader

    one = {
        "clusters": [{"name": "one", "cluster": cluster}],
        "users": [{"name": "one", "user": user}],
    }
    context = {"name": "one", "context": {"cluster": "one", "user": "one"}}
    whole = {**one, "contexts": [context], "current-context": "one"}
    try:
        KubeConfigLoader(whole, config_base_path="/").load_and_set(configuration)
    except ConfigException as error:
        raise ValueError(str(error)) from error


def useless(path: str, error: Exception) -> CniError:
    """Return the error for a kubeconfig that no client can be made of."""
    return CniError(
        Code.API_REFUSED,
        f"failed to get context for the kubeconfig {path}: {error}",
        "see that the file exists and names a cluster and a user",
    )

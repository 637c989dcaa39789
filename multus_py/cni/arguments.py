"""``CNI_ARGS``: pairs ``K=V`` separated by semicolons (specification, "Parameters")."""

from __future__ import annotations

from dataclasses import dataclass

from multus_py.cni.errors import CniError, Code

Pairs = tuple[tuple[str, str], ...]

IGNORE_UNKNOWN = "IgnoreUnknown"
POD_NAMESPACE = "K8S_POD_NAMESPACE"
POD_NAME = "K8S_POD_NAME"
POD_SANDBOX = "K8S_POD_INFRA_CONTAINER_ID"
POD_UID = "K8S_POD_UID"

KNOWN = (IGNORE_UNKNOWN, POD_NAMESPACE, POD_NAME, POD_SANDBOX, POD_UID, "IP")
"""What Kubernetes' runtimes and the specification's conventions send."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The pairs in the order of the runtime."""

    pairs: Pairs = ()

    def get(self, key: str) -> str:
        """Return the value of a key, the last if it is repeated, or an empty text."""
        return dict(self.pairs).get(key, "")

    def for_delegates(self) -> Pairs:
        """Return what delegates are told: every key once, none without a value.

        ``IgnoreUnknown`` is always set, as plugins are not asked to know Kubernetes' pairs.
        """
        merged = {IGNORE_UNKNOWN: "true"}
        merged.update({key: value for key, value in self.pairs if value})
        merged[IGNORE_UNKNOWN] = "true"
        return tuple(merged.items())


def parse(text: str) -> Arguments:
    """Return the arguments in ``text``.

    Strict, as Multus is: a pair has exactly one ``=``, and an unknown key is an error unless
    ``IgnoreUnknown`` is set. Errors have code 4 and name the pair.
    """
    pairs = tuple(_pair(item) for item in text.split(";")) if text else ()
    unknown = [key for key, _ in pairs if key not in KNOWN]
    ignore = dict(pairs).get(IGNORE_UNKNOWN, "").lower()
    if ignore not in {"", "0", "1", "true", "false"}:
        raise _invalid(f"{IGNORE_UNKNOWN} is {ignore!r}, neither true nor false")
    if unknown and ignore not in {"1", "true"}:
        raise _invalid(f"unknown keys {', '.join(unknown)} and no {IGNORE_UNKNOWN}=true")
    return Arguments(pairs)


def joined(pairs: Pairs) -> str:
    """Return the pairs as the text of ``CNI_ARGS``."""
    return ";".join(f"{key}={value}" for key, value in pairs)


def _pair(item: str) -> tuple[str, str]:
    key, separator, value = item.partition("=")
    if not separator or "=" in value:
        raise _invalid(f"{item!r} is not of the form KEY=VALUE with one equals sign")
    return key, value


def _invalid(cause: str) -> CniError:
    return CniError(
        Code.INVALID_ENVIRONMENT, f"CNI_ARGS: {cause}", "correct what the runtime passes"
    )

"""What names and identifiers may look like before they become paths, arguments or links."""

from __future__ import annotations

import re

# CNI specification, "Parameters" and "Configuration format"
_IDENTIFIER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")

# The kernel's dev_valid_name(); what cannot be printed would have its way with logs and terminals
_NOT_IN_INTERFACE_NAMES = re.compile(r"[/:\s]")

INTERFACE_NAME_LIMIT = 15
"""Bytes; the kernel's IFNAMSIZ less the terminating zero."""

# A file name on Linux has 255 bytes; record and cache names are built from up to three identifiers.
IDENTIFIER_LIMIT = 200


def identifier_fault(text: str) -> str:
    """Return what is wrong with a container ID or the name of a network, nothing if it is fine."""
    if len(text) > IDENTIFIER_LIMIT:
        return f"it has {len(text)} characters (at most {IDENTIFIER_LIMIT})"
    if _IDENTIFIER.fullmatch(text) is None:
        return "it may have letters, digits, _ . - after a letter or digit"
    return ""


def is_container_id(text: str) -> bool:
    """Tell whether ``text`` may be a container ID."""
    return not identifier_fault(text)


def is_network_name(text: str) -> bool:
    """Tell whether ``text`` may be the name of a network."""
    return not identifier_fault(text)


def is_plugin_type(text: str) -> bool:
    """Tell whether ``text`` may be a plugin's type: a file name that stays in its directory."""
    return bool(text) and text not in {".", ".."} and not set(text) & {"/", "\0"}


def interface_name_fault(name: str) -> str:
    """Return what is wrong with an interface name, or nothing if it is fine."""
    if len(name.encode(errors="surrogatepass")) > INTERFACE_NAME_LIMIT:
        return f"interface name {name!r} is too long (at most {INTERFACE_NAME_LIMIT} bytes)"
    if name in {"", ".", ".."}:
        return f"interface name {name!r} is empty, . or .."
    if _NOT_IN_INTERFACE_NAMES.search(name) or not name.isprintable():
        return (
            f"interface name {name!r} contains a slash, a colon, white space or a control character"
        )
    return ""

"""A CNI plugin that keeps books: a real executable that a test can script and audit.

ADD enters an attachment into a directory, as an IPAM plugin enters an address; DEL strikes it out.
So what is left behind, by whomever, is what the directory holds. ``books.json`` in it says how
plugins behave, by type and command:

    fail       answer this error: {"code", "msg"}
    sleep      seconds to wait first
    kill       "before" or "after" the entry: end the process that runs us with SIGKILL
    print      answer this text, whatever it is
    result     members to change in the result of ADD

This file is copied into a directory for plugins under the types that a test needs. It runs with
nothing but the standard library, and prints what it was asked to ``calls.jsonl``.
"""

import json
import os
import signal
import sys
import time
from typing import Any

BOOKS = "@BOOKS@"


def install(directory: str, books: str, *types: str) -> None:
    """Put the plugin into a directory under each of these types."""
    os.makedirs(directory, exist_ok=True)
    os.makedirs(books, exist_ok=True)
    with open(__file__) as file:
        text = file.read().replace("@BOOKS@", books, 1)
    for kind in types:
        path = os.path.join(directory, kind)
        with open(path, "w") as file:
            file.write(f"#!{sys.executable} -IS\n{text}")
        os.chmod(path, 0o755)


def main() -> None:
    kind, command = os.path.basename(sys.argv[0]), os.environ["CNI_COMMAND"]
    config = json.load(sys.stdin)
    with open(f"{BOOKS}/calls.jsonl", "a") as file:
        asked = {name: os.environ.get(name, "") for name in os.environ if name.startswith("CNI_")}
        file.write(json.dumps({"type": kind, "stdin": config, **asked}) + "\n")
    try:
        with open(f"{BOOKS}/books.json") as file:
            behaviour = json.load(file).get(kind, {}).get(command, {})
    except FileNotFoundError:
        behaviour = {}
    time.sleep(behaviour.get("sleep", 0))
    if behaviour.get("kill") == "before":
        os.kill(os.getppid(), signal.SIGKILL)
    if "fail" in behaviour:
        print(json.dumps(behaviour["fail"]))
        sys.exit(1)
    enter(kind, command)
    if behaviour.get("kill") == "after":
        os.kill(os.getppid(), signal.SIGKILL)
    if "print" in behaviour:
        print(behaviour["print"])
    elif command == "ADD":
        print(json.dumps(result(config) | behaviour.get("result", {})))


def enter(kind: str, command: str) -> None:
    """Enter or strike out an attachment."""
    name = "-".join((os.environ["CNI_CONTAINERID"], os.environ["CNI_IFNAME"], kind))
    entry = f"{BOOKS}/entries/{name}"
    if command == "ADD":
        os.makedirs(f"{BOOKS}/entries", exist_ok=True)
        with open(entry, "w"):
            pass
    elif command == "DEL" and os.path.exists(entry):
        os.unlink(entry)


def result(config: dict[str, Any]) -> dict[str, Any]:
    link = {"name": os.environ["CNI_IFNAME"], "sandbox": os.environ["CNI_NETNS"]}
    version = config.get("cniVersion") or "0.1.0"
    if version in {"0.1.0", "0.2.0"}:
        return {"cniVersion": version, "ip4": {"ip": "10.1.0.2/24"}}
    ip = {"address": "10.1.0.2/24", "interface": 0}
    if version < "1":
        ip["version"] = "4"
    return {"cniVersion": version, "interfaces": [link], "ips": [ip]}


if __name__ == "__main__":
    main()

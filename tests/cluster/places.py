"""Where the parts of clusters are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = Path(os.environ.get("CLUSTER") or Path(__file__).parents[2] / ".cache/cluster")
"""What ``.ci/cluster-build`` made, and below ``run`` the clusters themselves."""
BIN = CACHE.absolute() / "bin"
PLUGINS = CACHE.absolute() / "plugins"
RUN = CACHE.absolute() / "run"

PATH = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "KUBERC": "off"}
"""For every program: what the user's environment says about proxies is not for clusters."""

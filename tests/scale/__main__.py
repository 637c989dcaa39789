"""Print the tables of docs/scale.md; with ``--write`` put them there."""

from __future__ import annotations

import sys

from tests.scale import page


def main() -> None:
    found = page.tables()
    if "--write" in sys.argv[1:]:
        page.PAGE.write_text(page.filled(page.PAGE.read_text(), found))
        return
    for name, table in found.items():
        print(f"{name}\n\n{table}")


if __name__ == "__main__":
    main()

"""Version of the project: `pyproject.toml` holds it, and every other mention is rendered from there.

`python -m tests.release.version` prints it; `python -m tests.release.version render` writes the mentions.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NUMBER = r"\d+\.\d+\.\d+(?:-?(?:rc|alpha|beta)\.?\d+)?"
# Files that mention the version, and what stands before it there.
MENTIONS = {
    "README.md": r"dask-colocate:",
    "deploy/README.md": r"dask-colocate:",
    "deploy/chart/Chart.yaml": r"^(?:version|appVersion): ",
    "deploy/gitops.md": r"targetRevision: v",
}


def version() -> str:
    """Return the version in pyproject.toml."""
    found: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return found


def rendered(file: str) -> str:
    """Return the text of a file with each mention of the version replaced by the current one."""
    pattern = re.compile(f"({MENTIONS[file]}){_NUMBER}", re.MULTILINE)
    return pattern.sub(rf"\g<1>{version()}", (ROOT / file).read_text())


if __name__ == "__main__":
    if sys.argv[1:] == ["render"]:
        for name in MENTIONS:
            (ROOT / name).write_text(rendered(name))
    else:
        sys.stdout.write(f"{version()}\n")

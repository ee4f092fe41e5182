"""Release notes: the section of CHANGELOG.md for one version.

`python -m tests.release.notes [TAG]` prints the section of the current version, and fails where a tag names another one
or the section has no date.
"""

from __future__ import annotations

import re
import sys

from tests.release.version import ROOT, version

_HEADING = re.compile(r"^## (?P<version>\S+) - (?P<date>.+)$", re.MULTILINE)


class NotReadyError(Exception):
    """The repository does not describe the version to be released; the text says what to change."""


def notes(changelog: str, wanted: str) -> str:
    """Return the text below the version's heading, without the heading.

    Raises:
        NotReadyError: The version has no heading, or its heading has no date.
    """
    headings = list(_HEADING.finditer(changelog))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        if heading["version"] == wanted:
            if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", heading["date"]):
                message = f"CHANGELOG.md: replace {heading['date']!r} by the date: ## {wanted} - YYYY-MM-DD"
                raise NotReadyError(message)
            return changelog[heading.end() : following.start() if following else None].strip() + "\n"
    message = f"CHANGELOG.md has no heading for this version: add ## {wanted} - YYYY-MM-DD"
    raise NotReadyError(message)


def check_tag(tag: str, wanted: str) -> None:
    """Compare a tag with the version.

    Raises:
        NotReadyError: They differ.
    """
    if tag != f"v{wanted}":
        message = f"tag {tag} does not match version {wanted} in pyproject.toml: the tag must be v{wanted}"
        raise NotReadyError(message)


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            check_tag(argument, version())
        sys.stdout.write(notes((ROOT / "CHANGELOG.md").read_text(), version()))
    except NotReadyError as error:
        sys.exit(str(error))

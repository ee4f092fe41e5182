"""Mentions of the annotations outside the code: the table in README.md and the chart's schema of `defaults`.

`python -m tests.unit.deploy.annotations` rewrites both from `webhook.policy.ANNOTATIONS`.
"""

from __future__ import annotations

import json
import re
from enum import EnumType
from typing import TYPE_CHECKING, Any

from tests.unit.deploy.chart import CHART, DEPLOY
from webhook.policy import ANNOTATIONS, Policy, values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from webhook.policy import Annotation

README = DEPLOY.parent / "README.md"
SCHEMA = CHART / "values.schema.json"
ROW = re.compile(
    r"^\| `(?P<key>[a-z-]+)` \| (?P<accepted>.+?) \| `(?P<default>[^`]*)` \| (?P<meaning>.+?) \|$", re.MULTILINE
)
# Schema of a value by its parser; an enum's values come from the enum. `;` separates annotations in `--defaults`.
_SCHEMAS: Mapping[Any, dict[str, str]] = {
    values.boolean: {"$ref": "#/definitions/boolean"},
    values.gpus: {"$ref": "#/definitions/count"},
    values.weight: {"$ref": "#/definitions/count"},
}
_ANY_TEXT = {"type": "string", "pattern": "^[^;]+$"}


def readme(text: str) -> str:
    """Return README.md with the rows of the annotation table replaced."""
    found = list(ROW.finditer(text))
    rows = (f"| `{each.name}` | {each.accepted} | `{each.value(Policy())}` | {each.meaning} |" for each in ANNOTATIONS)
    return text[: found[0].start()] + "\n".join(rows) + text[found[-1].end() :]


def schema(text: str) -> str:
    """Return values.schema.json with a property for each annotation; properties that are there stay as they are."""
    written = json.loads(text)["properties"]["defaults"]["properties"]
    last = re.search(rf'^( *)"{list(written)[-1]}": .*$', text, re.MULTILINE)
    assert last, "each property of `defaults` stands on a line of its own"
    missing = (each for each in ANNOTATIONS if each.name not in written)
    lines = (f',\n{last[1]}"{each.name}": {json.dumps(_schema(each))}' for each in missing)
    return text[: last.end()] + "".join(lines) + text[last.end() :]


def _schema(annotation: Annotation) -> dict[str, Any]:
    if isinstance(annotation.parse, EnumType):
        return {"enum": [member.value for member in annotation.parse]}
    return _SCHEMAS.get(annotation.parse, _ANY_TEXT)


if __name__ == "__main__":
    README.write_text(readme(README.read_text()))
    SCHEMA.write_text(schema(SCHEMA.read_text()))

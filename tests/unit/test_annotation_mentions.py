"""`make render` writes the mentions of a new annotation outside the code."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest

from tests.unit.deploy import annotations
from webhook.policy import ANNOTATIONS, values

if TYPE_CHECKING:
    from webhook.policy import Annotation


class Colour(StrEnum):
    """Values of an annotation that exists in this test only."""

    RED = "red"
    BLUE = "blue"


def named(name: str, parse: object) -> Annotation:
    """Return an annotation of the policy under another name and with another parser."""
    return replace(ANNOTATIONS[0], name=name, parse=parse)


@pytest.mark.parametrize(
    ("parse", "wanted"),
    [
        (values.boolean, {"$ref": "#/definitions/boolean"}),
        (Colour, {"enum": ["red", "blue"]}),
        (values.topology, {"type": "string", "pattern": "^[^;]+$"}),
    ],
)
def test_new_annotation_gets_a_schema(parse: object, wanted: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """An annotation without a property gets one by its parser, and the rest of the schema stays as it is."""
    before = json.loads(annotations.SCHEMA.read_text())
    monkeypatch.setattr(annotations, "ANNOTATIONS", (*ANNOTATIONS, named("new", parse)))
    after = json.loads(annotations.schema(annotations.SCHEMA.read_text()))
    assert after["properties"]["defaults"]["properties"].pop("new") == wanted
    assert after == before


def test_known_annotations_change_nothing() -> None:
    """README.md and the schema are what the renderer writes."""
    for file, render in ((annotations.README, annotations.readme), (annotations.SCHEMA, annotations.schema)):
        assert render(file.read_text()) == file.read_text()

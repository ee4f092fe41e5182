from __future__ import annotations

from tests.unit.deploy.annotations import README, ROW
from webhook.policy import ANNOTATIONS, PREFIX, Policy


def test_annotation_table_is_the_policys() -> None:
    """Each annotation stands in README with what is accepted, its default and its meaning, in the policy's order."""
    rows = [tuple(found) for found in ROW.findall(README.read_text())]
    wanted = [(each.name, each.accepted, each.value(Policy()), each.meaning) for each in ANNOTATIONS]
    assert rows == wanted


def test_prefix_is_named() -> None:
    """README says what stands before each key of its table."""
    assert f"`{PREFIX}" in README.read_text()

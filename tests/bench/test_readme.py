from __future__ import annotations

import pytest

from tests.bench.readme import README, TABLES, recorded, with_table


@pytest.mark.parametrize("name", TABLES)
def test_readme_shows_the_last_record(name: str) -> None:
    """Each of the README's tables is the one that the recorded run gives, to the digit."""
    readme = README.read_text()
    assert f"<!-- {name} -->" in readme
    assert with_table(readme, name, recorded(name)) == readme

from __future__ import annotations

import json

from tests.bench.readme import README, RECORD, with_table


def test_readme_shows_the_last_record() -> None:
    """The README's table is the one that the recorded run gives, to the digit."""
    readme = README.read_text()
    assert with_table(readme, json.loads(RECORD.read_text())) == readme

"""Options and hypothesis profiles of the whole suite."""

from __future__ import annotations

import hypothesis
import pytest

# The same examples on each run and machine, and no deadline, which a busy machine would exceed. To search for more
# examples: --hypothesis-profile=search.
_WITHOUT_DEADLINE = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("suite", _WITHOUT_DEADLINE, derandomize=True, max_examples=100, database=None)
hypothesis.settings.register_profile("search", _WITHOUT_DEADLINE, max_examples=5000)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--update-cases`, which rewrites each `expected.json` that differs; the run still fails."""
    parser.addoption("--update-cases", action="store_true", help="rewrite expected.json of the fixture cases")


@pytest.fixture(scope="session")
def update_cases(request: pytest.FixtureRequest) -> bool:
    """Return whether to rewrite `expected.json` of the fixture cases."""
    return bool(request.config.getoption("--update-cases"))

"""Options of the whole suite."""

from __future__ import annotations

import hypothesis
import pytest

# The same examples on each run and each machine, and no deadline: a busy machine is no bug. Look for more with
# --hypothesis-profile=search.
_PATIENT = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("suite", _PATIENT, derandomize=True, max_examples=100, database=None)
hypothesis.settings.register_profile("search", _PATIENT, max_examples=5000)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-cases`: rewrite `expected.json` where the answer is another one; the run still fails."""
    parser.addoption("--update-cases", action="store_true", help="rewrite expected.json of the fixture cases")


@pytest.fixture(scope="session")
def update_cases(request: pytest.FixtureRequest) -> bool:
    """Whether the fixture cases are to be rewritten."""
    return bool(request.config.getoption("--update-cases"))

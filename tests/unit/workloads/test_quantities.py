from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from webhook.workloads.quantities import is_zero, parse, whole

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

NUMBERS = st.from_regex(r"[+-]?[0-9]{1,9}(\.[0-9]{0,6})?", fullmatch=True)
SUFFIXES = st.sampled_from(
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "E-2"]
)


@given(NUMBERS, SUFFIXES)
def test_quantity_is_what_the_official_client_reads(number: str, suffix: str) -> None:
    """Every quantity of the grammar has the value that Kubernetes' own client gives it."""
    assert parse(number + suffix) == parse_quantity(number + suffix)


@pytest.mark.parametrize("written", ["0", "0m", "+0", "-0", "0.0", "0e9", "0Gi", ".0", 0, 0.0])
def test_zero_in_any_spelling_is_zero(written: Unstructured) -> None:
    """An explicit zero is recognized however it is written."""
    assert is_zero(written)


@pytest.mark.parametrize(
    "written", ["", " 0", "0x", "zero", "NaN", "1_0", "0Kib", "--0", "e", None, True, False, [], {}]
)
def test_what_is_no_quantity_is_neither_zero_nor_a_count(written: Unstructured) -> None:
    """Malformed quantities have no value."""
    assert parse(written) is None
    assert not is_zero(written)
    assert whole(written) == 0


@pytest.mark.parametrize(
    ("written", "count"),
    [("1", 1), ("2e0", 2), ("2000m", 2), (1.0, 1), ("1k", 1000), ("0.5", 0), ("500m", 0), ("-1", 0), ("1e99", 0)],
)
def test_extended_resources_are_counted_in_whole_numbers(written: Unstructured, count: int) -> None:
    """Fractions, negative numbers and more than an int64 holds are no counts of devices."""
    assert whole(written) == count

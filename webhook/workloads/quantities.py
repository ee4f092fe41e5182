"""Parser of Kubernetes quantities, such as `500m`, `2e3` and `16Gi`.

Source: k8s.io/apimachinery, pkg/api/resource, the grammar in the documentation of `Quantity`: a signed decimal
number, then a binary suffix, a decimal suffix or a decimal exponent. A JSON number is parsed from its text, as
`Quantity.UnmarshalJSON` does. `parse_quantity` of Python's official client also accepts `NaN` and `1_0`, and the pure
core imports no client.
"""

import re
from decimal import Decimal
from functools import lru_cache

from webhook.workloads.unstructured import Unstructured

# An int64 has 19 digits; the API server rounds a quantity with more.
_MOST_DIGITS = 40
_QUANTITY = re.compile(
    rf"[+-]?(?=\.?\d)(?P<whole>\d{{0,{_MOST_DIGITS}}})(?:\.(?P<part>\d{{0,{_MOST_DIGITS}}}))?"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,3})?",
    re.ASCII,
)
_LONGEST = 2 * _MOST_DIGITS + 7  # a sign, a point and the longest suffix, `e-123`
_FACTORS = {
    **{
        suffix: Decimal(10) ** power
        for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{suffix}i": Decimal(2) ** power for suffix, power in zip("KMGTPE", (10, 20, 30, 40, 50, 60), strict=True)},
}


def parse(written: Unstructured) -> Decimal | None:
    """Return a quantity's exact value; None for a value that is not a quantity."""
    if not isinstance(written, (str, int, float)) or isinstance(written, bool):
        return None
    text = str(written)
    return _parse(text) if len(text) <= _LONGEST else None


@lru_cache(256)
def _parse(text: str) -> Decimal | None:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    suffix = found["suffix"] or ""
    number = text.removesuffix(suffix) if suffix else text
    if suffix in _FACTORS:
        return Decimal(number) * _FACTORS[suffix]
    return Decimal(number + suffix)


def is_zero(written: Unstructured) -> bool:
    """Return whether a quantity is an explicit zero, such as `"0"`, `"0m"`, `"+0"` and `0.0`."""
    return parse(written) == 0


def whole(written: Unstructured) -> int:
    """Return a quantity as a whole number, which an extended resource must have; 0 for any other quantity."""
    value = parse(written)
    return int(value) if value is not None and 0 <= value < 2**63 and value == value.to_integral_value() else 0

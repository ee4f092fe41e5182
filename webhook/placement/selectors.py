"""Selectors of a DeviceClass: the part of CEL that drivers' own classes use.

A selector is a conjunction (`&&`) of comparisons, such as NVIDIA's
`device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'`. Anything else, such as `||`, a
function or a capacity, is not supported: devices of that class are not counted.

Source: Kubernetes API reference, `CELDeviceSelector` and `DeviceAttribute` resource.k8s.io/v1.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from webhook.workloads.unstructured import Unstructured, mapping, text

_COMPARISON = re.compile(
    r"""\s*device\.
    (?: driver | attributes\[(?P<q>["'])(?P<domain>[\w./-]+)(?P=q)\]\.(?P<name>\w+) )
    \s*(?P<operator>==|!=)\s*
    (?: (?P<p>["'])(?P<text>[^"'\\&|]*)(?P=p) | (?P<bare>true|false|\d+) )\s*""",
    re.VERBOSE,
)
_MOST = 4096  # characters of one expression; the API takes 10 KiB

Value: TypeAlias = str | int | bool
Attributes: TypeAlias = Mapping[tuple[str, str], Value]
"""Attributes of a device by domain and name."""


class Comparison(NamedTuple):
    """One comparison.

    Attributes:
        key: Domain and name of the attribute; None for the driver.
        equal: True for `==`, False for `!=`.
        value: The literal.
    """

    key: tuple[str, str] | None
    equal: bool
    value: Value

    def holds(self, driver: str, attributes: Attributes) -> bool:
        """Return whether a device matches. A device without the attribute, or with another type, never does."""
        found = driver if self.key is None else attributes.get(self.key)
        return type(found) is type(self.value) and (found == self.value) is self.equal


def comparisons(selectors: Sequence[Unstructured]) -> tuple[Comparison, ...] | None:
    """Parse `selectors` of a DeviceClass; return None where one of them is not supported."""
    found = []
    for expression in (text(each, "cel", "expression") or "" for each in selectors):
        for part in expression[:_MOST].split("&&"):
            parsed = _COMPARISON.fullmatch(part)
            if parsed is None:
                return None
            key = (parsed["domain"], parsed["name"]) if parsed["name"] else None
            found.append(Comparison(key, parsed["operator"] == "==", _literal(parsed)))
    return tuple(found)


def _literal(parsed: re.Match[str]) -> Value:
    if parsed["bare"] is None:
        return parsed["text"]
    return parsed["bare"] == "true" if parsed["bare"] in {"true", "false"} else int(parsed["bare"])


def attributes(device: Unstructured, driver: str) -> Attributes:
    """Return the attributes of a raw device; a name without a domain is in the driver's own."""
    found: dict[tuple[str, str], Value] = {}
    for key, written in mapping(device, "attributes").items():
        domain, _, name = key.rpartition("/")
        for kind in ("string", "bool", "int"):
            value = mapping(written).get(kind)
            if isinstance(value, (str, int)):
                found[domain or driver, name] = value
    return found


def matches(selector: Sequence[Comparison], device: Unstructured, driver: str) -> bool:
    """Return whether a raw device of a driver is in the class with this selector."""
    known = attributes(device, driver)
    return all(comparison.holds(driver, known) for comparison in selector)

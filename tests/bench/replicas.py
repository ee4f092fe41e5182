"""Several replicas of the webhook, called in turns: different replicas plan consecutive clusters of a burst."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import yaml

from tests.e2e.bed.bed import PROBES
from tests.e2e.bed.webhooks import configuration
from tests.e2e.webhook_process import CONFIGURATION, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.bed.bed import Bed


@contextmanager
def replicas(bed: Bed, count: int, *flags: str) -> Iterator[None]:
    """Run `count` webhook processes while the block runs, each for every `count`th cluster.

    An API server reuses its connections, so it calls one replica of a Service for a long time; several API servers call
    several replicas. Here each replica has a configuration of its own: the deployed one with one more match condition.
    """
    with ExitStack() as stack:
        for number in range(count):
            served = stack.enter_context(serving(bed, *flags, name=f"webhook-{number}"))
            url = f"{served.url}/mutate"
            manifest = _share(bed.plane.state, number, count)
            stack.enter_context(bed.webhook_configuration(manifest, url, bed.plane.ca))
        yield


def _share(folder: Path, number: int, count: int) -> Path:
    """Write the deployed configuration for this replica's share of the clusters; return its path.

    A DaskCluster goes to one replica, its worker groups and pods go to the next one: in a real cluster user and
    operator have connections of their own.
    """
    body = configuration(CONFIGURATION, "", CONFIGURATION)
    body["metadata"]["name"] += f"-{number}"
    own, next_to = (_digits((number - shift) % count, count) for shift in (0, 1))
    digits = f"(request.kind.kind == 'DaskCluster' ? '{own}' : '{next_to}')"
    expression = f"request.namespace == '{PROBES}' || request.name.matches('^gpu-[0-9]*[' + {digits} + '](-|$)')"
    for webhook in body["webhooks"]:
        webhook.setdefault("matchConditions", []).append({"name": "replica", "expression": expression})
    path = folder / f"replica-{number}.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


def _digits(number: int, count: int) -> str:
    return "".join(str(digit) for digit in range(10) if digit % count == number)

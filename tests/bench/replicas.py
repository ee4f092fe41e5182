"""Several replicas of the webhook, asked in turns: neighbouring clusters of a burst are planned by different ones."""

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
    """`count` processes that share no memory, each asked about every `count`th cluster.

    An API server keeps its connections, and so asks one replica of a Service for long; several API servers ask several.
    Here each replica has a configuration of its own, with one condition more than the deployed one.
    """
    with ExitStack() as stack:
        for number in range(count):
            served = stack.enter_context(serving(bed, *flags, name=f"webhook-{number}"))
            url = f"{served.url}/mutate"
            manifest = _share(bed.plane.state, number, count)
            stack.enter_context(bed.webhook_configuration(manifest, url, bed.plane.ca))
        yield


def _share(folder: Path, number: int, count: int) -> Path:
    """The deployed configuration for the clusters whose number ends with one of this replica's digits."""
    body = configuration(CONFIGURATION, "", CONFIGURATION)
    body["metadata"]["name"] += f"-{number}"
    digits = "".join(str(digit) for digit in range(10) if digit % count == number)
    expression = f"request.namespace == '{PROBES}' || request.name.matches('[{digits}]-default')"
    for webhook in body["webhooks"]:
        webhook.setdefault("matchConditions", []).append({"name": "replica", "expression": expression})
    path = folder / f"replica-{number}.yaml"
    path.write_text(yaml.safe_dump(body))
    return path

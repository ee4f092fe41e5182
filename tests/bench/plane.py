"""Control plane of a benchmark: the test bed without the Dask operator, whose watches would use CPU."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.bed import binaries, controlplane, dask_operator, nodes
from tests.e2e.bed.api import CRDS, DASK
from tests.e2e.bed.bed import PROBES, Bed
from tests.e2e.bed.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def control_plane() -> Iterator[Bed]:
    """Run etcd, API server, scheduler, controllers and kwok; the field `operator` of the bed is the kwok process."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as state:
        plane = controlplane.start(Path(state), binaries.locate())
        try:
            for crd in (nodes.port_forward_crd(), *dask_operator.crds()):
                plane.api.apply(CRDS, crd)
            until(lambda: plane.api.exists(f"{DASK}/daskclusters"), 20, "Dask's resources are served", str)
            until(lambda: plane.api.exists(nodes.FORWARDS), 20, "kwok's resources are served", str)
            kwok = nodes.start_kwok(plane)
            plane.api.create("/api/v1/namespaces", {"metadata": {"name": PROBES}})
            yield Bed(plane=plane, operator=kwok)
        finally:
            plane.stop()

"""What runs inside the Dask pods of one namespace, with no container: a scheduler, and a worker for each pod.

kwok's pods run nothing. This process is a real `distributed.Scheduler` on 127.0.0.1, and for each Running
worker pod a real `distributed.Worker` of the pod's `DASK_WORKER_NAME`, closed when the pod goes. With kwok's
port-forward to it, `KubeCluster` and the operator find what they would find in a cluster: they compute, and
a scale-down retires workers by name. All Dask clusters of the namespace share the one scheduler.

Started by path, in a process of its own: `dask_runtime.py API_URL CA_FILE NAMESPACE COMM_PORT DASHBOARD_PORT`
with the token in `$TOKEN`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from typing import Any

import dask
import httpx
from distributed import Scheduler, Worker

POLL = 0.2  # seconds between two looks at the pods: far below the second that a user would notice
ROUTES = "distributed.scheduler.http.routes"


async def main(url: str, ca: str, namespace: str, comm: str, dashboard: str) -> None:
    """Run until the process is stopped."""
    client = httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {os.environ['TOKEN']}"},
        verify=ssl.create_default_context(cafile=ca),
        trust_env=False,
    )
    pods = f"/api/v1/namespaces/{namespace}/pods?labelSelector=dask.org/component=worker"
    # The operator asks this API first and falls back to the comm, each after 10 s in which it fails to
    # resolve the Service's name: it runs outside of the cluster here. With the API it is once, not twice.
    dask.config.set({ROUTES: [*dask.config.get(ROUTES), "distributed.http.scheduler.api"]})
    async with (
        client,
        Scheduler(host="127.0.0.1", port=int(comm), dashboard_address=f"127.0.0.1:{dashboard}") as scheduler,
    ):
        workers: dict[str, Worker] = {}
        while True:
            await _follow(workers, _running((await client.get(pods)).json()["items"]), scheduler.address)
            await asyncio.sleep(POLL)


async def _follow(workers: dict[str, Worker], wanted: set[str], scheduler: str) -> None:
    for name in wanted - workers.keys():
        # No memory limit: the limit of one process would be shared by all its workers.
        workers[name] = await Worker(scheduler, name=name, nthreads=1, host="127.0.0.1", memory_limit=0)
    for name in workers.keys() - wanted:
        await workers.pop(name).close()


def _running(pods: list[dict[str, Any]]) -> set[str]:
    running = (each for each in pods if each["status"].get("phase") == "Running")
    return {_worker_name(each) for each in running if "deletionTimestamp" not in each["metadata"]}


def _worker_name(pod: dict[str, Any]) -> str:
    variables = (each for container in pod["spec"]["containers"] for each in container.get("env", []))
    return next(str(each["value"]) for each in variables if each["name"] == "DASK_WORKER_NAME")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""`helm test`: ready, and a worker's pod is answered, over the Service with the certificate checked.

Standard library only, so that it runs in any Python image.
"""

# ruff: noqa: INP001 - a file of the chart, no package

import json
import ssl
import sys
import urllib.request
from typing import Any

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "check", "labels": {"dask.org/component": "worker"}},
    "spec": {"containers": [{"name": "worker", "args": ["dask", "worker"]}]},
}


def ask(context: ssl.SSLContext, url: str, body: bytes | None = None) -> bytes:
    """Return the body of the response; raise for HTTP status 400 and above."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - https, from the chart
    with urllib.request.urlopen(request, timeout=10, context=context) as response:  # noqa: S310 - the same
        answer: bytes = response.read()
    return answer


def review(namespace: str) -> dict[str, Any]:
    """Build the AdmissionReview of an API server for the pod."""
    request = {
        "uid": "helm-test",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": namespace,
        "operation": "CREATE",
        "object": POD,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def main(url: str, bundle: str, namespace: str) -> None:
    """Ask and say what came back."""
    context = ssl.create_default_context(cafile=bundle)
    sys.stdout.write(f"ready: {ask(context, f'{url}/readyz').decode()}")
    answer = json.loads(ask(context, f"{url}/mutate", json.dumps(review(namespace)).encode()))["response"]
    sys.stdout.write(f"review: {json.dumps(answer)}\n")
    status = answer["auditAnnotations"]["status"]
    if (answer["uid"], answer["allowed"]) != ("helm-test", True) or status not in {"decided", "not-enabled"}:
        sys.exit("the review was not answered as it should be")


if __name__ == "__main__":
    main(*sys.argv[1:])

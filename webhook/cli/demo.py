"""Command `demo`: run the webhook on loopback and send it the Dask cluster of the RAPIDS guide."""

import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import httpx
import jsonpatch
from rich.console import Console
from rich.text import Text

from webhook.admission.request import API_VERSION
from webhook.admission.response import parse_response
from webhook.cli.options import ServeOptions
from webhook.cli.wiring import WebhookServer, build_server
from webhook.kube import manifests
from webhook.kube.manifests import Manifest
from webhook.policy import PREFIX, Policy
from webhook.review import Reviewed, report, review
from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    text,
    texts,
)

START_SECONDS = 10.0
EXAMPLES = resources.files("webhook.cli") / "examples"


class DemoError(RuntimeError):
    """Unexpected result of the demo."""


def run() -> int:
    """Run the demo.

    Raises:
        DemoError: The webhook did not start, or its response differs from the rules' decisions.
    """
    console = Console()
    namespace, cluster = _read_example("namespace.yaml"), _read_example("cluster.yaml")
    _print_heading(console, "1  An administrator annotates a namespace")
    _print_namespace(console, namespace)
    with resources.as_file(EXAMPLES / "namespace.yaml") as file, _running(file) as client:
        _print_heading(console, "2  A user applies a Dask cluster; the API server calls the webhook")
        response = _send(client, cluster.item)
        (reviewed,) = review([cluster], [namespace], Policy())
        _print_response(console, client, reviewed, response)
        _print_heading(console, "3  The result is sent again, as by the operator or `kubectl apply`")
        _print_second_response(console, _send(client, reviewed.result))
    _print_next_steps(console)
    return 0


def _read_example(name: str) -> Manifest:
    (manifest,) = manifests.read((EXAMPLES / name).read_text(), name)
    return manifest


# ---- webhook --------------------------------------------------------------------------------------


@contextmanager
def _running(namespaces_file: Path) -> Iterator[httpx.Client]:
    """Run the webhook on a free loopback port and yield a client that trusts only its new certificate."""
    server = build_server(ServeOptions(host="127.0.0.1", port=0, namespaces_file=namespaces_file))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.http.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            with _client(server, listener.getsockname()[1]) as client:
                _wait_until_ready(client)
                yield client
        finally:
            server.http.should_exit = True
            thread.join(START_SECONDS)


def _client(server: WebhookServer, port: int) -> httpx.Client:
    context = ssl.create_default_context(cadata=(server.ca_certificate or b"").decode())
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False)


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise DemoError(f"the webhook was not ready after {START_SECONDS:.0f} s")


def _send(client: httpx.Client, item: Unstructured) -> Unstructured:
    """Send an AdmissionReview for the creation of `item` and return the response with its patch decoded."""
    group, _, version = item["apiVersion"].partition("/")
    request = {
        "uid": str(uuid.uuid4()),
        "kind": {"group": group, "version": version, "kind": item["kind"]},
        "operation": "CREATE",
        "name": text(item, "metadata", "name"),
        "namespace": text(item, "metadata", "namespace"),
        "object": item,
    }
    body = {"apiVersion": API_VERSION, "kind": "AdmissionReview", "request": request}
    response = client.post("/mutate", json=body)
    if not response.is_success:
        raise DemoError(f"the webhook returned {response.status_code}: {response.text.strip()}")
    return parse_response(response.content)


# ---- output ---------------------------------------------------------------------------------------


def _print_heading(console: Console, title: str) -> None:
    console.print()
    console.rule(Text(title, style="bold"), align="left")


def _print_namespace(console: Console, namespace: Manifest) -> None:
    console.print(Text(f"Namespace {text(namespace.item, 'metadata', 'name')}"))
    for key, value in texts(namespace.item, "metadata", "annotations").items():
        console.print(Text(f'  {key}: "{value}"', style="green"))
    console.print(Text(f"All other {PREFIX} annotations have their defaults.", style="dim"))


def _print_response(console: Console, client: httpx.Client, reviewed: Reviewed, response: Unstructured) -> None:
    patch = response.get("patch", [])
    if jsonpatch.apply_patch(reviewed.manifest.item, patch) != reviewed.result:
        raise DemoError("the webhook's patch differs from the rules' decisions")
    console.print(Text(f"POST {client.base_url.join('/mutate')}: allowed, {len(patch)} operations", style="dim"))
    for line in report.diff(reviewed):
        console.print(line)
    console.print()
    console.print(report.decision_table(reviewed))


def _print_second_response(console: Console, response: Unstructured) -> None:
    if "patch" in response:
        raise DemoError("the webhook changed the object a second time")
    console.print(Text("allowed, no patch: the object already has all settings"))
    for decision in str(mapping(response, "auditAnnotations").get("decisions")).split():
        console.print(Text(f"  {decision}", style="cyan"))


def _print_next_steps(console: Console) -> None:
    _print_heading(console, "Next steps")
    console.print(
        Text("  dask-colocate review FILE...     show what the webhook would change in your manifests, and why")
    )
    console.print(Text("  dask-colocate --help             list all commands"))

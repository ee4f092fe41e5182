"""The main job on this machine alone: the guide's cluster, stripped of what the guide adds, through the webhook."""

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
from webhook.cli.wiring import Assembly, assemble
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
    """The demo did not show what it set out to show; the message says what happened instead."""


def run(console: Console) -> None:
    """Run the demo.

    Raises:
        DemoError: The webhook did not start, or answered otherwise than its own rules say.
    """
    namespace, cluster = _example("namespace.yaml"), _example("cluster.yaml")
    _heading(console, "1  An admin annotates a namespace, once")
    _show_namespace(console, namespace)
    with resources.as_file(EXAMPLES / "namespace.yaml") as file, _running(file) as client:
        _heading(console, "2  A user applies a plain Dask cluster; the API server asks the webhook")
        first = _ask(client, cluster.item)
        (reviewed,) = review([cluster], [namespace], Policy())
        _show_answer(console, client, reviewed, first)
        _heading(console, "3  The result once more, as the operator or `kubectl apply` would send it")
        _show_second_pass(console, _ask(client, reviewed.result))
    _show_next(console)


def _example(name: str) -> Manifest:
    (manifest,) = manifests.read((EXAMPLES / name).read_text(), name)
    return manifest


# ---- the webhook ----------------------------------------------------------------------------------


@contextmanager
def _running(namespaces_file: Path) -> Iterator[httpx.Client]:
    """The webhook on a free loopback port, with a fresh certificate, and a client that trusts only that."""
    assembly = assemble(ServeOptions(host="127.0.0.1", port=0, namespaces_file=namespaces_file))
    server = assembly.server
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            with _client(assembly, listener.getsockname()[1]) as client:
                _wait_until_ready(client)
                yield client
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)


def _client(assembly: Assembly, port: int) -> httpx.Client:
    context = ssl.create_default_context(cadata=(assembly.authority or b"").decode())
    return httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context, trust_env=False)


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise DemoError(f"the webhook was not ready within {START_SECONDS:.0f} s")


def _ask(client: httpx.Client, item: Unstructured) -> Unstructured:
    """Send the AdmissionReview that creating `item` would be; the response, its patch decoded."""
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
    answer = client.post("/mutate", json=body)
    if not answer.is_success:
        raise DemoError(f"the webhook answered {answer.status_code}: {answer.text.strip()}")
    return parse_response(answer.content)


# ---- what a newcomer sees -------------------------------------------------------------------------


def _heading(console: Console, title: str) -> None:
    console.print()
    console.rule(Text(title, style="bold"), align="left")


def _show_namespace(console: Console, namespace: Manifest) -> None:
    console.print(Text(f"Namespace {text(namespace.item, 'metadata', 'name')}"))
    for key, value in texts(namespace.item, "metadata", "annotations").items():
        console.print(Text(f'  {key}: "{value}"', style="green"))
    console.print(Text(f"Every other {PREFIX} annotation has its default.", style="dim"))


def _show_answer(console: Console, client: httpx.Client, reviewed: Reviewed, response: Unstructured) -> None:
    patch = response.get("patch", [])
    if jsonpatch.apply_patch(reviewed.manifest.item, patch) != reviewed.result:
        raise DemoError("the webhook's patch is not what its rules say")
    console.print(Text(f"POST {client.base_url.join('/mutate')}: allowed, {len(patch)} operations", style="dim"))
    for line in report.diff(reviewed):
        console.print(line)
    console.print()
    console.print(report.decisions(reviewed))


def _show_second_pass(console: Console, response: Unstructured) -> None:
    if "patch" in response:
        raise DemoError("a second pass changed the object again")
    console.print(Text("allowed, no patch: everything is as it should be"))
    for decision in str(mapping(response, "auditAnnotations").get("decisions")).split():
        console.print(Text(f"  {decision}", style="cyan"))


def _show_next(console: Console) -> None:
    _heading(console, "Next")
    console.print(Text("  dask-colocate review FILE...     what would be done to your own manifests, and why"))
    console.print(Text("  dask-colocate --help             everything else"))

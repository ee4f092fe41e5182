"""Plain requests to the API server: what a poll ten times a second needs, where kubectl takes 0.1 s a call."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from pathlib import Path

Object = dict[str, Any]  # a Kubernetes object as JSON: its shape is the API server's business

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DASK = "/apis/kubernetes.dask.org/v1"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


class ApiError(Exception):
    """The API server refused; `status` is the HTTP status."""

    def __init__(self, response: httpx.Response) -> None:
        """Keep the status and show what was asked and what was answered."""
        self.status = response.status_code
        request = response.request
        super().__init__(f"{request.method} {request.url.path}: {self.status} {response.text[:2000]}")


class Api:
    """A connection as the administrator. Paths are the API server's, such as `/api/v1/nodes`."""

    def __init__(self, url: str, token: str, ca: Path) -> None:
        """Connect on first use; the server's certificate is checked against `ca`."""
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(ca)),
            timeout=30,
            trust_env=False,  # a proxy has no business between this and loopback
        )

    def get(self, path: str, **parameters: str) -> Object:
        """One object or list."""
        return self._send("GET", path, params=parameters)

    def exists(self, path: str) -> bool:
        """Whether there is such an object or collection."""
        return self._client.get(path).is_success

    def items(self, path: str, **parameters: str) -> list[Object]:
        """The items of a list."""
        found: list[Object] = self.get(path, **parameters)["items"]
        return found

    def create(self, path: str, body: Object) -> Object:
        """Create an object in the collection `path`."""
        return self._send("POST", path, json=body)

    def apply(self, path: str, body: Object) -> Object:
        """Server-side apply of the whole object at the collection `path`."""
        return self._send(
            "PATCH",
            f"{path}/{body['metadata']['name']}",
            params={"fieldManager": "bed", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(body),
        )

    def merge(self, path: str, body: Object) -> Object:
        """JSON merge patch of the object at `path`."""
        headers = {"Content-Type": "application/merge-patch+json"}
        return self._send("PATCH", path, headers=headers, content=json.dumps(body))

    def replace(self, path: str, body: Object) -> Object:
        """Put `body` in the place of the object, or of its part, at `path`."""
        return self._send("PUT", path, json=body)

    def delete(self, path: str, **parameters: str) -> None:
        """Delete the object, or with a collection's path all of them; nothing there is no error."""
        try:
            self._send("DELETE", path, params=parameters)
        except ApiError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self._client.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, method: str, path: str, **request: Any) -> Object:  # noqa: ANN401 - httpx's own arguments, passed on
        response = self._client.request(method, path, **request)
        if response.is_error:
            raise ApiError(response)
        answer: Object = response.json()
        return answer

"""Reading the Kubernetes API as bytes, with the official client's credentials and connections.

The client's typed methods are not used for reading: `CoreV1Api` alone imports 250 modules of models, tens of MiB and
a second of processor time, to hand over the bytes in the end.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import urllib3
from kubernetes.client import ApiClient

CONNECT = 5.0  # seconds to a connection
_ERROR = 400  # HTTP: from here on


class RefusedError(OSError):
    """The API server said no.

    Attributes:
        status: HTTP's code.
    """

    def __init__(self, status: int, reason: str) -> None:
        """It answered `status`."""
        super().__init__(f"the API server answered {status}: {reason}")
        self.status = status


class Reader:
    """Reads from one API server."""

    def __init__(self, client: ApiClient) -> None:
        """Use the connections of `client`, and its token, renewed as the client renews it."""
        self._configuration = client.configuration
        self._pool = client.rest_client.pool_manager
        self._headers = dict(client.default_headers)

    def get(self, path: str, query: Mapping[str, str | int], accept: str, seconds: float) -> urllib3.BaseHTTPResponse:
        """The response to a GET, its body not read yet.

        Args:
            path: Below the server's address, with its leading slash.
            query: Parameters.
            accept: The media type.
            seconds: The longest silence, not the longest answer.

        Raises:
            RefusedError: the status is an error's.
            urllib3.exceptions.HTTPError: no connection, or it broke.
        """
        url = f"{self._configuration.host.rstrip('/')}{path}?{urlencode(query)}"
        response: urllib3.BaseHTTPResponse = self._pool.request(
            "GET",
            url,
            headers={**self._headers, "Accept": accept, **self._credentials()},
            preload_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT, seconds), read=seconds),
        )
        if response.status >= _ERROR:
            response.drain_conn()
            raise RefusedError(response.status, str(response.reason))
        return response

    def _credentials(self) -> dict[str, str]:
        settings = self._configuration.auth_settings().values()
        return {each["key"]: each["value"] for each in settings if each["in"] == "header" and each["value"]}

"""GET requests to the Kubernetes API that return bytes.

They use the credentials and connections of the official client but not its typed methods: `CoreV1Api` alone imports
250 modules of models, which takes tens of MiB and a second of CPU time.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

import urllib3
from kubernetes.client import ApiClient

CONNECT_TIMEOUT = 5.0  # seconds
_FIRST_ERROR_STATUS = 400


class ResponseError(OSError):
    """Error response of the API server.

    Attributes:
        status: HTTP status code.
    """

    def __init__(self, status: int, reason: str) -> None:
        """Store the HTTP status and describe it in the message."""
        super().__init__(f"the API server answered {status}: {reason}")
        self.status = status


class ApiReader:
    """Reader of one API server."""

    def __init__(self, client: ApiClient) -> None:
        """Use the connection pool of `client` and its token, which the client renews."""
        self._configuration = client.configuration
        self._pool = client.rest_client.pool_manager
        self._headers = dict(client.default_headers)

    def get(self, path: str, query: Mapping[str, str | int], accept: str, seconds: float) -> urllib3.BaseHTTPResponse:
        """Send a GET request and return the response with its body unread.

        Args:
            path: Path on the server, with the leading slash.
            query: Query parameters.
            accept: Media type.
            seconds: Read timeout; limits the time between two reads, not the whole response.

        Raises:
            ResponseError: The API server returned an error status.
            urllib3.exceptions.HTTPError: The connection failed.
        """
        url = f"{self._configuration.host.rstrip('/')}{path}?{urlencode(query)}"
        response: urllib3.BaseHTTPResponse = self._pool.request(
            "GET",
            url,
            headers={**self._headers, "Accept": accept, **self._credentials()},
            preload_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, seconds), read=seconds),
        )
        if response.status >= _FIRST_ERROR_STATUS:
            response.drain_conn()
            raise ResponseError(response.status, str(response.reason))
        return response

    def _credentials(self) -> dict[str, str]:
        settings = self._configuration.auth_settings().values()
        return {
            setting["key"]: setting["value"] for setting in settings if setting["in"] == "header" and setting["value"]
        }

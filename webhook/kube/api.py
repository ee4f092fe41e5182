"""Client for single objects of the Kubernetes API: get, list, create, patch, watch. Not used by admission requests.

It uses the credentials and connections of the official client, but keeps bodies as plain dictionaries: fields that the
client's models lack are preserved, and the `Date` header of a response is available.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote

import orjson
import stamina
import urllib3
from kubernetes.client import ApiClient

from certs.rotation.clock import Clock, system_clock

Json = dict[str, Any]
PatchType = Literal["application/merge-patch+json", "application/json-patch+json"]

_TIMEOUT = urllib3.Timeout(connect=3, read=10)
_WATCH_SECONDS = 300
"""Time after which the server closes a watch, so that a dead connection is detected."""
_MIN_SKEW = timedelta(seconds=5)
"""A smaller clock difference can be the duration of the request and the one-second resolution of `Date`."""
_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH"}
_RETRYABLE = frozenset({429, 500, 502, 503, 504})

logger = logging.getLogger(__name__)


class ApiError(Exception):
    """Failed request to the API server. The text contains no part of a body."""


class ConflictError(ApiError):
    """Another client changed the object first. Read it again."""


class ForbiddenError(ApiError):
    """Rejected credentials or missing permission; the text names the permission."""


class _UnavailableError(ApiError):
    """Temporary failure. Retry at once."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One object of the Kubernetes API, or a collection if it has no name."""

    group: str
    plural: str
    name: str = ""
    namespace: str | None = None

    @property
    def collection(self) -> str:
        """The path of the collection. All groups used here have version v1."""
        root = f"/apis/{self.group}/v1" if self.group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{self.plural}" if self.namespace else f"{root}/{self.plural}"

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.collection}/{quote(self.name, safe='')}" if self.name else self.collection

    @property
    def title(self) -> str:
        """Kind, name and namespace, such as `secrets "certs" in namespace "apps"`."""
        kind = f"{self.plural}.{self.group}" if self.group else self.plural
        title = f'{kind} "{self.name}"' if self.name else kind
        return title + (f' in namespace "{self.namespace}"' if self.namespace else "")

    def missing_permission(self, verb: str) -> str:
        """Return the error for a forbidden verb, with the RBAC rule that allows it."""
        role = f"Role in namespace {self.namespace}" if self.namespace else "ClusterRole"
        group = self.group or '""'
        names = "" if verb in {"create", "list"} else f", resourceNames: [{self.name}]"
        return (
            f"missing permission: {verb} {self.title}. A {role} needs the rule {{apiGroups: [{group}], "
            f"resources: [{self.plural}]{names}, verbs: [{verb}]}}"
        )


class Api:
    """Connection to an API server."""

    def __init__(self, client: ApiClient, clock: Clock = system_clock) -> None:
        """Use the credentials and the connection pool of an official client."""
        self._clock = clock
        self._configuration = client.configuration
        self._pool = client.rest_client.pool_manager
        self._skew = timedelta()

    def now(self) -> datetime:
        """Return the time of the API server, by the clock and the `Date` of its last response."""
        return self._clock() + self._skew

    def get(self, resource: Resource) -> Json | None:
        """Return the object; None if it does not exist."""
        return self._call("get", resource)

    def items(self, resource: Resource) -> list[Json] | None:
        """Return all objects of a collection; None if the API server does not serve their kind."""
        collection = self._call("list", resource)
        return None if collection is None else collection.get("items") or []

    def create(self, resource: Resource, body: Json) -> Json:
        """Create the object.

        Raises:
            ConflictError: The object exists.
        """
        return self._call("create", resource, body=body) or {}

    def patch(self, resource: Resource, body: Json | list[Json], kind: PatchType, *, dry_run: bool = False) -> Json:
        """Patch the object and return the result. A dry run stores nothing.

        Raises:
            ConflictError: The object does not have the resource version of the patch, or does not exist.
        """
        query = "?dryRun=All" if dry_run else ""
        patched = self._call("patch", resource, body=body, kind=kind, query=query)
        if patched is None:
            raise ConflictError(f"{resource.title} does not exist any more")
        return patched

    @contextmanager
    def changes(self, resource: Resource) -> Iterator[urllib3.BaseHTTPResponse]:
        """Open a stream that yields bytes after each change of the object, and at the start if it exists.

        Callers ignore the bytes and read the object again, so events cannot be missed, stale or out of order.
        """
        query = f"?watch=1&fieldSelector=metadata.name%3D{quote(resource.name)}&timeoutSeconds={_WATCH_SECONDS}"
        timeout = urllib3.Timeout(connect=3, read=_WATCH_SECONDS + 10)
        response = self._send("GET", resource.collection + query, timeout=timeout, preload_content=False)
        try:
            if response.status != 200:  # noqa: PLR2004 - HTTP OK
                response.read()
            _raise_for_status(response.status, resource, "watch")
            yield response
        finally:
            response.close()

    def _call(
        self, verb: str, resource: Resource, *, body: object = None, kind: str = "application/json", query: str = ""
    ) -> Json | None:
        path = (resource.collection if verb == "create" else resource.path) + query
        content = None if body is None else orjson.dumps(body)
        # Not stamina's decorator: it logs the arguments of a retried call, which contain private keys.
        for attempt in stamina.retry_context(on=_UnavailableError, attempts=3, timeout=5, wait_initial=0.1):
            with attempt:
                response = self._send(_METHODS[verb], path, timeout=_TIMEOUT, body=content, content_type=kind)
                self._measure_skew(response.headers)
                if response.status == 404 and verb != "create":  # noqa: PLR2004 - HTTP Not Found
                    return None
                _raise_for_status(response.status, resource, verb)
                result: Json = orjson.loads(response.data)
        return result

    def _send(
        self,
        method: str,
        path: str,
        *,
        content_type: str = "application/json",
        **options: Any,  # noqa: ANN401 - options of urllib3
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "dask-colocate"}
        for setting in self._configuration.auth_settings().values():  # renews a short-lived token
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        url = self._configuration.host.rstrip("/") + path
        try:
            response: urllib3.BaseHTTPResponse = self._pool.request(
                method, url, headers=headers, retries=False, **options
            )
        except urllib3.exceptions.HTTPError as error:
            raise _UnavailableError(f"the API server is unreachable: {type(error).__name__}") from None
        return response

    def _measure_skew(self, headers: Mapping[str, str]) -> None:
        if "Date" not in headers:
            return
        skew = parsedate_to_datetime(headers["Date"]) - self._clock()
        skew = skew if abs(skew) > _MIN_SKEW else timedelta()
        if bool(skew) != bool(self._skew):
            logger.warning("the clock of the API server is %.0f s ahead of this machine", skew.total_seconds())
        self._skew = skew


def _raise_for_status(status: int, resource: Resource, verb: str) -> None:
    match status:
        case code if code < 300:  # noqa: PLR2004 - HTTP success is 2xx
            return
        case 401:
            raise ForbiddenError(f"authentication failed (401) for {verb} {resource.title}")
        case 403:
            raise ForbiddenError(resource.missing_permission(verb))
        case 409:
            raise ConflictError(f"another client changed {resource.title}")
        case code if code in _RETRYABLE:
            raise _UnavailableError(f"the API server returned {code} for {verb} {resource.title}")
        case code:
            raise ApiError(f"the API server returned {code} for {verb} {resource.title}")

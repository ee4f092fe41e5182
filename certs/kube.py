"""A thin way to one object of the Kubernetes API: read, create, patch, watch. Never on a request path.

Credentials and connections are the official client's; bodies stay plain dictionaries, so that nothing
unknown to the client's models is lost and the server's ``Date`` can be seen.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import orjson
import stamina
import urllib3
import yaml
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

Clock = Callable[[], datetime]
Json = dict[str, Any]
PatchType = Literal["application/merge-patch+json", "application/json-patch+json"]

_TIMEOUT = urllib3.Timeout(connect=3, read=10)
_WATCHED_FOR = 300
"""Seconds after which the server ends a watch, so that a dead connection is noticed."""
_SKEW_NOTICED = timedelta(seconds=5)
"""Below this a difference of clocks may be the request's duration and the whole seconds of ``Date``."""
_METHODS = {"get": "GET", "list": "GET", "create": "POST", "patch": "PATCH"}
_PAUSED = frozenset({429, 500, 502, 503, 504})

logger = logging.getLogger(__name__)


def local_time() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)


class ApiError(Exception):
    """The API server did not do what was asked. Holds no part of any body."""


class ConflictError(ApiError):
    """Somebody else was first: read again."""


class ForbiddenError(ApiError):
    """A right is missing; the text says which."""


class _UnavailableError(ApiError):
    """Worth another try at once."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One object, or without a name a whole collection: what it is and where."""

    group: str
    plural: str
    name: str = ""
    namespace: str | None = None

    @property
    def collection(self) -> str:
        """The path of the collection it is in; both groups used here are at v1."""
        root = f"/apis/{self.group}/v1" if self.group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{self.plural}" if self.namespace else f"{root}/{self.plural}"

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.collection}/{quote(self.name, safe='')}" if self.name else self.collection

    def missing_right(self, verb: str) -> str:
        """What to say when a verb is refused: everything needed to write the rule."""
        role = f"Role in namespace {self.namespace}" if self.namespace else "ClusterRole"
        group = self.group or '""'
        names = "" if verb in {"create", "list"} else f", resourceNames: [{self.name}]"
        return (
            f"missing right: {verb} {self.title}. A {role} needs the rule {{apiGroups: [{group}], "
            f"resources: [{self.plural}]{names}, verbs: [{verb}]}}"
        )

    @property
    def title(self) -> str:
        """Such as ``secrets "certs" in namespace "apps"``."""
        kind = f"{self.plural}.{self.group}" if self.group else self.plural
        named = f'{kind} "{self.name}"' if self.name else kind
        return named + (f' in namespace "{self.namespace}"' if self.namespace else "")


class Api:
    """A connection to an API server."""

    def __init__(self, client: ApiClient, clock: Clock = local_time) -> None:
        """Use the credentials and the connection pool of an official client, and this machine's clock."""
        self._clock = clock
        self._configuration = client.configuration
        self._pool = client.rest_client.pool_manager
        self.ahead = timedelta()
        """How far the server's clock was ahead of ours at its last answer; zero when that is no news."""

    def now(self) -> datetime:
        """The instant by the server's clock: it is the one that judges certificates."""
        return self._clock() + self.ahead

    def get(self, resource: Resource) -> Json | None:
        """The object, or ``None`` when there is none."""
        return self._call("get", resource)

    def items(self, resource: Resource) -> list[Json] | None:
        """All objects of a collection, or ``None`` when the API server does not know their kind."""
        listed = self._call("list", resource)
        return None if listed is None else listed.get("items") or []

    def create(self, resource: Resource, body: Json) -> Json:
        """Create the object.

        Raises:
            ConflictError: it exists.
        """
        return self._call("create", resource, body=body) or {}

    def patch(self, resource: Resource, body: Json | list[Json], kind: PatchType, *, dry_run: bool = False) -> Json:
        """Change the object; on a dry run the API server only says what it would be.

        Raises:
            ConflictError: it changed since the version named in the patch, or is gone.
        """
        query = "?dryRun=All" if dry_run else ""
        changed = self._call("patch", resource, body=body, kind=kind, query=query)
        if changed is None:
            raise ConflictError(f"{resource.title} is gone")
        return changed

    @contextmanager
    def changes(self, resource: Resource) -> Iterator[urllib3.BaseHTTPResponse]:
        """A stream that yields bytes whenever the object changed, and at its beginning if it exists.

        What the bytes say is of no interest: whoever is told reads the object again, so that no event can
        be missed, stale or out of order.
        """
        query = f"?watch=1&fieldSelector=metadata.name%3D{quote(resource.name)}&timeoutSeconds={_WATCHED_FOR}"
        timeout = urllib3.Timeout(connect=3, read=_WATCHED_FOR + 10)
        url = resource.collection + query
        response = self._send("GET", url, timeout=timeout, preload_content=False)
        try:
            if response.status != 200:  # noqa: PLR2004 - HTTP's OK
                response.read()
            _raised(response.status, resource, "watch")
            yield response
        finally:
            response.close()

    def _call(
        self, verb: str, resource: Resource, *, body: object = None, kind: str = "application/json", query: str = ""
    ) -> Json | None:
        path = (resource.collection if verb == "create" else resource.path) + query
        # A context, not stamina's decorator: that one logs the arguments of what it retries, here keys.
        for attempt in stamina.retry_context(on=_UnavailableError, attempts=3, timeout=5, wait_initial=0.1):
            with attempt:
                sent = None if body is None else orjson.dumps(body)
                response = self._send(_METHODS[verb], path, timeout=_TIMEOUT, body=sent, content_type=kind)
                self._hear(response.headers)
                if response.status == 404 and verb != "create":  # noqa: PLR2004 - HTTP's Not Found
                    return None
                _raised(response.status, resource, verb)
                answer: Json = orjson.loads(response.data)
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        content_type: str = "application/json",
        **options: Any,  # noqa: ANN401 - urllib3's
    ) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "certs"}
        for setting in self._configuration.auth_settings().values():  # renews a short-lived token
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        url = self._configuration.host.rstrip("/") + path
        try:
            response: urllib3.BaseHTTPResponse = self._pool.request(
                method, url, headers=headers, retries=False, **options
            )
        except urllib3.exceptions.HTTPError as error:
            raise _UnavailableError(f"the API server can't be reached: {type(error).__name__}") from None
        return response

    def _hear(self, headers: Mapping[str, str]) -> None:
        if "Date" not in headers:
            return
        ahead = parsedate_to_datetime(headers["Date"]) - self._clock()
        ahead = ahead if abs(ahead) > _SKEW_NOTICED else timedelta()
        if bool(ahead) != bool(self.ahead):
            logger.warning("the API server's clock is %.0f s ahead of this machine's", ahead.total_seconds())
        self.ahead = ahead


def connect(kubeconfig: Path | None = None, context: str | None = None, clock: Clock = local_time) -> Api:
    """Connect as a kubeconfig says, else as the Pod's service account.

    Raises:
        ApiError: there is neither, or it can't be understood.
    """
    return Api(client(kubeconfig, context), clock)


def client(kubeconfig: Path | None = None, context: str | None = None) -> ApiClient:
    """The official client, as kubectl would be: `kubeconfig`, else $KUBECONFIG, else ~/.kube/config, else the Pod's.

    Raises:
        ApiError: there is none of them, or it can't be understood.
    """
    settings = Configuration()
    try:
        _load(settings, kubeconfig, context)
        settings.retries = False  # who asks has a back-off or a deadline of their own
        return ApiClient(settings)
    except (config.ConfigException, OSError) as error:
        raise ApiError(f"no way to a cluster: {error}") from None
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, LookupError) as error:
        # The client takes a file apart without looking what it is.
        file = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        said = " ".join(str(error).split())
        raise ApiError(f"no way to a cluster: {file} is no kubeconfig ({said})") from None


def _load(settings: Configuration, kubeconfig: Path | None, context: str | None) -> None:
    default = os.environ.get("KUBECONFIG") or Path("~/.kube/config").expanduser().exists()
    if not (kubeconfig or context or default) and "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=settings)  # load_config would print that it guesses so
    else:
        config.load_kube_config(str(kubeconfig) if kubeconfig else None, context, client_configuration=settings)


def _raised(status: int, resource: Resource, verb: str) -> None:
    match status:
        case code if code < 300:  # noqa: PLR2004 - HTTP's successes are 2xx
            return
        case 401:
            raise ForbiddenError(f"the API server does not know us: it refuses our token for {verb} {resource.title}")
        case 403:
            raise ForbiddenError(resource.missing_right(verb))
        case 409:
            raise ConflictError(f"{resource.title} was changed by somebody else")
        case code if code in _PAUSED:
            raise _UnavailableError(f"the API server answers {code} to {verb} {resource.title}")
        case code:
            raise ApiError(f"the API server answers {code} to {verb} {resource.title}")

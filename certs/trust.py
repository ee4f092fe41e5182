"""The ``caBundle`` in force: what the API server trusts when it calls, in one webhook configuration."""

from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from certs.kube import Api, Json, Resource

GROUP = "admissionregistration.k8s.io"
PLURAL = "mutatingwebhookconfigurations"


@dataclass(frozen=True)
class Trust:
    """The bundles in force, one for each webhook of the configuration, PEM; none when there is none."""

    names: tuple[str, ...] = ()
    bundles: tuple[bytes, ...] = ()
    version: str = field(default="", compare=False)
    """The configuration's, named when changing it."""

    def differs(self, bundle: bytes) -> bool:
        """Whether any webhook trusts something else."""
        return any(one != bundle for one in self.bundles)


class Configuration:
    """One MutatingWebhookConfiguration, of which only ``caBundle`` is ever touched."""

    def __init__(self, api: Api, name: str) -> None:
        """Name the configuration; it need not exist."""
        self._api = api
        self.resource = Resource(group=GROUP, plural=PLURAL, name=name)

    def read(self) -> Trust:
        """What is in force.

        Raises:
            ForbiddenError: it may not be read.
            ApiError: it can't be read.
        """
        return _trust(self._api.get(self.resource) or {})

    def inject(self, bundle: bytes, found: Trust) -> Trust:
        """Put a bundle into every webhook that has another one, and change nothing else.

        The change names the version that was read. Who reads a bundle after the configuration, and then
        puts it in force, so never undoes what a faster replica did with a newer bundle meanwhile.

        Raises:
            ConflictError: it changed since it was read; nothing was written.
            ForbiddenError: it may not be patched.
            ApiError: it can't be patched.
        """
        encoded = b64encode(bundle).decode()
        patch: list[Json] = [
            {"op": "add", "path": f"/webhooks/{index}/clientConfig/caBundle", "value": encoded}
            for index, held in enumerate(found.bundles)
            if held != bundle
        ]
        if not patch:
            return found
        patch.append({"op": "replace", "path": "/metadata/resourceVersion", "value": found.version})
        return _trust(self._api.patch(self.resource, patch, "application/json-patch+json"))


def _trust(configuration: Json) -> Trust:
    webhooks = configuration.get("webhooks") or []
    return Trust(
        tuple(webhook["name"] for webhook in webhooks),
        tuple(b64decode(webhook["clientConfig"].get("caBundle") or "") for webhook in webhooks),
        configuration.get("metadata", {}).get("resourceVersion", ""),
    )

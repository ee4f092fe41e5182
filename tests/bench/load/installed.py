"""The contenders on a real API server, all at once: each is asked about one namespace, so rounds can take turns."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.bench.load import bodies, contenders
from tests.bench.load.contenders import GO, OURS, Contender
from tests.e2e.bed import process, webhooks
from tests.e2e.bed.waiting import until
from tests.e2e.webhook_process import CONFIGURATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed

NOTHING, POLICY = "no webhook", "in-process policy"
NAMES = (NOTHING, OURS, GO, POLICY)
LABEL = "bench"
_POLICY = Path(__file__).with_name("policy.yaml")
_REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
_PATHS = {
    "MutatingAdmissionPolicy": f"{_REGISTRATION}/mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": f"{_REGISTRATION}/mutatingadmissionpolicybindings",
}
# The label's value, which is also part of the namespace's name.
_VALUES = {NOTHING: "nothing", OURS: "ours", GO: "go", POLICY: "policy"}


@dataclass(frozen=True, kw_only=True)
class Room:
    """A namespace whose pods one contender looks at.

    Attributes:
        name: The contender's.
        namespace: The namespace.
        contender: The process; None for what is in the API server.
    """

    name: str
    namespace: str
    contender: Contender | None

    @property
    def pods(self) -> str:
        """The path of its pods."""
        return f"/api/v1/namespaces/{self.namespace}/pods"


def worker(name: str = "") -> Object:
    """The recorded worker pod as its controller sent it: before the API server's own defaults."""
    pod: Object = bodies.recorded(bodies.WORKER)["request"]["object"]
    about = {"labels": pod["metadata"]["labels"], **({"name": name} if name else {"generateName": "worker-"})}
    (container,) = pod["spec"]["containers"]
    kept = {key: container[key] for key in ("name", "image", "args", "env", "resources")}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": {"containers": [kept]}}


@contextmanager
def rooms(bed: Bed) -> Iterator[list[Room]]:
    """Every contender in effect while the block runs."""
    with ExitStack() as stack:
        servers = {name: stack.enter_context(served(bed, name)) for name in (OURS, GO)}
        found = [_room(bed, name, servers.get(name)) for name in NAMES]
        for room in found:
            if room.contender:
                _install(bed, room.contender, _VALUES[room.name])
        for document in yaml.safe_load_all(_POLICY.read_text()):
            bed.api.apply(_PATHS[document["kind"]], document)
        for room in found[1:]:
            until(partial(_mutates, bed, room), 30, f"{room.name} is in effect", str)
        _agree(bed, found)
        yield found


@contextmanager
def served(bed: Bed, name: str) -> Iterator[Contender]:
    """A webhook that watches the bed's namespaces, by its production command line."""
    (port,) = process.free_ports(1)
    pair = bed.plane.authority.issue(_VALUES[name], ["127.0.0.1"])
    argv = contenders.commands(port, pair, ["--kubeconfig", str(bed.plane.kubeconfig)])[name]
    started = bed.plane.spawn(f"contender-{_VALUES[name]}-{port}", argv)
    url = f"https://127.0.0.1:{port}"
    with contenders.client(url, bed.plane.ca) as asking:
        started.wait_until(lambda: contenders.answers(asking), contenders.READY, every=0.01)
    yield Contender(name=name, url=url, process=started)
    started.stop(grace=0)


def _room(bed: Bed, name: str, contender: Contender | None) -> Room:
    namespace = bed.create_namespace(bodies.ENABLED, {LABEL: _VALUES[name]})
    return Room(name=name, namespace=namespace, contender=contender)


def _install(bed: Bed, contender: Contender, value: str) -> None:
    """The deployed configuration's webhook for pods, for the namespaces with this label alone."""
    body = webhooks.configuration(CONFIGURATION, f"{contender.url}/mutate", bed.plane.ca)
    body["metadata"]["name"] = f"bench-{value}"
    body["webhooks"] = [each for each in body["webhooks"] if each["name"].startswith("pods.")]
    for each in body["webhooks"]:
        each["namespaceSelector"]["matchLabels"] = {LABEL: value}
    webhooks.install(bed.api, body)


def _mutates(bed: Bed, room: Room) -> bool:
    return "affinity" in _admitted(bed, room)["spec"]


def _admitted(bed: Bed, room: Room) -> Object:
    return bed.api.create(f"{room.pods}?dryRun=All", worker("probe"))


def _agree(bed: Bed, found: list[Room]) -> None:
    """All make the same of the same pod: only then are they to be compared."""
    specs = {room.name: _settled(_admitted(bed, room)["spec"]) for room in found if room.name != NOTHING}
    others = {name: spec for name, spec in specs.items() if spec != specs[OURS]}
    if others:
        raise AssertionError(f"not the same mutation: {others} and {specs[OURS]}")


def _settled(spec: Object) -> Object:
    """Without the token's volume, whose name is random."""
    (container,) = spec["containers"]
    kept = {key: value for key, value in container.items() if key != "volumeMounts"}
    return {**{key: value for key, value in spec.items() if key != "volumes"}, "containers": [kept]}

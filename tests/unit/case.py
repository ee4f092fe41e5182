"""A fixture case: a folder of `tests/cases`, and what the webhook really makes of it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jsonpatch
import yaml

from webhook.admission import handler
from webhook.admission.request import parse_document
from webhook.admission.response import AdmissionResponse, parse_response
from webhook.http.app import Webhook
from webhook.kube.capacity import NOT_WATCHED
from webhook.kube.capacity.static import StaticCapacity
from webhook.kube.namespaces import policy_annotations
from webhook.kube.namespaces.static import StaticNamespaces
from webhook.placement.model import Hints, NoHint, NoHintReason
from webhook.policy import Policy, resolve
from webhook.policy.defaults import default_policy
from webhook.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webhook.admission.request import AdmissionRequest
    from webhook.admission.response import AdmissionResponse
    from webhook.kube.capacity import Capacity
    from webhook.workloads.pod_templates import DaskObject
    from webhook.workloads.unstructured import Unstructured

CASES = Path(__file__).parent.parent / "cases"
NEEDED = frozenset({"review.json", "namespace.yaml", "expected.json"})
OPTIONAL = frozenset({"settings.yaml", "capacity.yaml"})
KEYS = ("why", "allowed", "patch", "warnings", "auditAnnotations", "decisions")


@dataclass(frozen=True, slots=True)
class Case:
    """One folder of `tests/cases`."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, which is the behaviour."""
        return self.folder.name

    @property
    def review(self) -> Unstructured:
        """The AdmissionReview."""
        return json.loads((self.folder / "review.json").read_bytes())

    @property
    def namespace(self) -> Unstructured:
        """The Namespace that is known; with another name than the review's, its own is not."""
        return yaml.safe_load((self.folder / "namespace.yaml").read_text())

    @property
    def settings(self) -> Mapping[str, str]:
        """The installation's settings; none where there is no file."""
        file = self.folder / "settings.yaml"
        return dict(yaml.safe_load(file.read_text())) if file.exists() else {}

    @property
    def capacity(self) -> Capacity:
        """What is known of capacity: nothing where there is no file; setting `capacity` is what ails its source."""
        file = self.folder / "capacity.yaml"
        if not file.exists():
            return NOT_WATCHED
        problem = self.settings.get("capacity")
        found = yaml.safe_load_all(file.read_text())
        return StaticCapacity(found, NoHint(NoHintReason(problem), "as the settings say") if problem else None)

    @property
    def expected(self) -> Unstructured:
        """What the answer must be; empty for a case that has none yet."""
        file = self.folder / "expected.json"
        return json.loads(file.read_text()) if file.exists() else {}

    @property
    def policy(self) -> Policy | None:
        """What holds in the review's namespace, or None where that is not the known one."""
        if self.namespace["metadata"]["name"] != self.review["request"].get("namespace"):
            return None
        return resolve(dict(policy_annotations(self.namespace)), default_policy(self.settings.get("defaults", "")))

    def answered(self, review: Unstructured) -> Mapping[str, Unstructured]:
        """The response to `review` in this case's namespace, from bytes to bytes."""
        defaults = default_policy(self.settings.get("defaults", ""))
        webhook = Webhook(StaticNamespaces([self.namespace]), defaults, Recorder(), capacity=self.capacity)
        return parse_response(asyncio.run(webhook.answer(json.dumps(review).encode())))

    def verdict(self, review: Unstructured) -> AdmissionResponse:
        """What the pure core decides on `review`."""
        return self.decided(parse_document(review))

    def decided(self, review: AdmissionRequest) -> AdmissionResponse:
        """What the pure core decides on a parsed review."""
        found = handler.match(review)
        if isinstance(found, AdmissionResponse):
            return found
        asked = handler.questions(review, found, self.policy)
        return handler.decide(found, self.policy, asked if isinstance(asked, Hints) else self.capacity.hints(asked))

    def subject(self, review: Unstructured) -> DaskObject | None:
        """What concerns us in `review`."""
        found = handler.match(parse_document(review))
        return None if isinstance(found, AdmissionResponse) else found

    def found(self) -> Unstructured:
        """What `expected.json` must hold, apart from `why`."""
        response = self.answered(self.review)
        verdict = self.verdict(self.review)
        return {
            "allowed": response["allowed"],
            "patch": response.get("patch", []),
            "warnings": response.get("warnings", []),
            "auditAnnotations": response.get("auditAnnotations", {}),
            "decisions": [
                {
                    "rule": decision.rule,
                    "target": f"{decision.role} {decision.pointer}",
                    "outcome": decision.outcome,
                    "reason": decision.reason,
                }
                for decision in verdict.decisions
            ],
        }

    def update(self) -> None:
        """Write what was found as what is expected, with the `why` that stands there."""
        document = {"why": self.expected.get("why", ""), **self.found()}
        (self.folder / "expected.json").write_text(json.dumps(document, indent=2) + "\n")


def patched(item: Unstructured, patch: Unstructured) -> Unstructured:
    """`item` with `patch` applied by a library that knows nothing of ours; `item` itself stays as it is."""
    return jsonpatch.apply_patch(item, patch, in_place=False)


def changed(before: Unstructured, after: Unstructured, path: str = "") -> Iterator[str]:
    """JSON pointers of the leaves that differ. Null and absent are one; so are an absent parent and an empty one."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _changed_entries(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _changed_entries(_numbered(before), _numbered(after), path)
    elif before is None and isinstance(after, dict) and after:
        yield from _changed_entries({}, after, path)
    elif before is None and isinstance(after, list) and after:
        yield from _changed_entries({}, _numbered(after), path)
    elif before != after or type(before) is not type(after):
        yield path


def _changed_entries(before: Mapping[str, Unstructured], after: Mapping[str, Unstructured], path: str) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        token = key.replace("~", "~0").replace("/", "~1")
        yield from changed(before.get(key), after.get(key), f"{path}/{token}")


def _numbered(items: list[Unstructured]) -> dict[str, Unstructured]:
    return {str(index): item for index, item in enumerate(items)}


def every() -> list[Case]:
    """All cases, by name."""
    return [Case(folder) for folder in sorted(CASES.iterdir())]

"""Values and metadata that users expect of a chart."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.unit.deploy.chart import CHART, NAME, only, rendered, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.deploy.chart import Object

ROW = re.compile(r"^\| `([\w.]+)` \| (.+?) \| (.+) \|$", re.MULTILINE)
LONGEST_DEFAULT = 40  # characters; longer ones are in values.yaml only


def leaves(values: Object, schema: Object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value that can be set, with its default; resources, labels and others are one value."""
    for key, value in values.items():
        known = schema["properties"][key]
        if isinstance(value, dict) and value and key != "resources" and known.get("additionalProperties") is False:
            yield from leaves(value, known, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def test_readme_lists_every_value() -> None:
    """`helm show readme` prints a table with each value, its default and its meaning."""
    done = run("show", "readme", str(CHART))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    expected = {}
    for path, value in leaves(values, schema):
        default = json.dumps(value)
        expected[path] = f"`{default}`" if len(default) <= LONGEST_DEFAULT else "see values.yaml"
    assert {path: default for path, default, _ in ROW.findall(done.stdout)} == expected


def test_metadata_needs_nothing_from_the_network() -> None:
    """The icon is an SVG within Chart.yaml, and the Artifact Hub annotations are lists of the documented shape."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    prefix, _, data = chart["icon"].partition(",")
    assert prefix == "data:image/svg+xml;base64"
    assert ET.fromstring(base64.b64decode(data)).tag.endswith("svg")  # noqa: S314 - our own file
    annotations = chart["annotations"]
    assert all(set(each) == {"name", "url"} for each in yaml.safe_load(annotations["artifacthub.io/links"]))
    assert all(set(each) == {"kind", "description"} for each in yaml.safe_load(annotations["artifacthub.io/changes"]))


def test_image_pull_secrets_in_both_shapes() -> None:
    """Names and objects with a name are accepted, by the Deployment and the test's pod."""
    setting = 'imagePullSecrets=["one", {"name": "two"}]'
    done = run("template", NAME, str(CHART), "--set-json", setting)
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    (pod,) = (each for each in objects if each["kind"] == "Pod")
    for spec in (deployment["spec"]["template"]["spec"], pod["spec"]):
        assert spec["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert "imagePullSecrets" not in only("Deployment")["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("settings", "name", "created"),
    [
        ((), NAME, True),
        (("serviceAccount.name=mine",), "mine", True),
        (("serviceAccount.create=false", "serviceAccount.name=mine"), "mine", False),
        (("serviceAccount.create=false",), "default", False),
    ],
)
def test_service_account(settings: tuple[str, ...], name: str, created: bool) -> None:
    """The pods run as the named ServiceAccount, and the roles are bound to it; `create: false` creates none."""
    objects = rendered(*settings)
    accounts = [each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"]
    assert accounts == ([name] if created else [])
    bindings = [each for each in objects if each["kind"] in {"RoleBinding", "ClusterRoleBinding"}]
    assert {each["subjects"][0]["name"] for each in bindings} == {name}
    assert only("Deployment", *settings)["spec"]["template"]["spec"]["serviceAccountName"] == name


@pytest.mark.parametrize("mode", ["self-managed", "files"])
def test_extra_volumes(mode: str) -> None:
    """Extra volumes and mounts are added to those of the chart."""
    settings = (
        f"certificates.mode={mode}",
        "certificates.files.secret=pair",
        "certificates.files.caBundle=PEM",
        "extraVolumes[0].name=proxy-ca",
        "extraVolumes[0].configMap.name=proxy-ca",
        "extraVolumeMounts[0].name=proxy-ca",
        "extraVolumeMounts[0].mountPath=/etc/proxy",
    )
    spec = only("Deployment", *settings)["spec"]["template"]["spec"]
    expected = [*(["tls"] if mode == "files" else []), "proxy-ca"]
    assert [each["name"] for each in spec["volumes"]] == expected
    assert [each["name"] for each in spec["containers"][0]["volumeMounts"]] == expected


def test_common_labels_are_on_every_object() -> None:
    """Every object has the common labels, the pods and the test's pod too; selectors do not."""
    objects = rendered("commonLabels.team=gpu")
    assert {each["metadata"]["labels"]["team"] for each in objects} == {"gpu"}
    deployment = only("Deployment", "commonLabels.team=gpu")
    assert deployment["spec"]["template"]["metadata"]["labels"]["team"] == "gpu"
    assert "team" not in deployment["spec"]["selector"]["matchLabels"]


def test_objects_of_the_test_are_deleted_after_it() -> None:
    """Whatever the result of `helm test`, its objects are deleted: `helm uninstall` does not delete hooks."""
    hooks = [each["metadata"]["annotations"] for each in rendered() if "annotations" in each["metadata"]]
    hooks = [each for each in hooks if each.get("helm.sh/hook") == "test"]
    assert len(hooks) == 2
    for each in hooks:
        assert {"hook-succeeded", "hook-failed"} <= set(each["helm.sh/hook-delete-policy"].split(","))


def test_notes_name_the_commands() -> None:
    """The notes after an installation name `status` and `review`, and warn of the default image."""
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    assert "dask-colocate status" in notes
    assert "dask-colocate review" in notes
    assert "WARNING: image.repository" in notes

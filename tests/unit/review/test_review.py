"""Inputs and outputs of `review`: directories, --set, attributed diffs, SARIF."""

from __future__ import annotations

import io
import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.unit.objects import cluster, namespace, pod
from webhook.cli import main
from webhook.cli.options import ReviewOptions
from webhook.kube.manifests import read
from webhook.mutators.decision import Reason
from webhook.policy import PREFIX, Policy
from webhook.policy.defaults import SettingsError
from webhook.policy.errors import InputError
from webhook.review import review
from webhook.review.diff_attribution import diff
from webhook.review.report import diff as shown
from webhook.review.sarif import GRADES, sarif
from webhook.review.sources import read as found_in

if TYPE_CHECKING:
    from webhook.review import Reviewed
    from webhook.workloads.unstructured import Unstructured

EXAMPLES = Path(str(resources.files("webhook.cli"))) / "examples"
STRIPPED = EXAMPLES / "cluster.yaml"
GUIDE = EXAMPLES / "guide-cluster.yaml"


def reviewed(text: str, **tried: str) -> Reviewed:
    """Review the only object of a text, with annotations added to its namespace."""
    annotations = {f"{PREFIX}{key.replace('_', '-')}": value for key, value in tried.items()}
    (one,) = review(read(text, "it.yaml"), (), Policy(), annotations)
    return one


def as_json(capsys: pytest.CaptureFixture[str], *files: str, options: ReviewOptions) -> Unstructured:
    """Return the parsed output of `review`."""
    main.review(*files, options=options)
    return json.loads(capsys.readouterr().out)


# ---- --set ----------------------------------------------------------------------------------------


def test_set_tries_annotations(capsys: pytest.CaptureFixture[str]) -> None:
    """Each --set adds an annotation to the namespace, with or without the prefix."""
    options = ReviewOptions(tried=("gpu-limit=3", f"{PREFIX}worker-command=keep"), output="patch")
    (one,) = as_json(capsys, str(STRIPPED), options=options)
    assert {"limits": {"nvidia.com/gpu": "3"}} in [each["value"] for each in one["patch"]]
    assert "dask-cuda-worker" not in json.dumps(one)


def test_set_overrides_the_namespace(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """--set enabled=true overrides a namespace that is not enabled."""
    file = tmp_path / "both.yaml"
    file.write_text(yaml.safe_dump_all([namespace(enabled="false", gpu_limit="2"), cluster()]))
    (one,) = as_json(capsys, str(file), options=ReviewOptions(tried=("enabled=true",), output="json"))
    assert one["status"] == "decided"
    assert "to 2 nvidia.com/gpu" in json.dumps(one)


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        ("gpu-limit=many", ("--set", "gpu-limit", "'many'", "a whole number, 0-1000")),
        ("gpulimit=1", ("--set", "gpulimit", "'1'", "gpu-limit")),
        ("gpu-limit", ("gpu-limit", "KEY=VALUE")),
        ("zzz=1", ("zzz", "topology", "targets")),
    ],
)
def test_set_is_validated(item: str, parts: tuple[str, ...]) -> None:
    """An invalid --set is reported with key, value and accepted values, before files are read."""
    with pytest.raises(SettingsError) as caught:
        main.review("nowhere.yaml", options=ReviewOptions(tried=(item,)))
    assert all(part in str(caught.value) for part in parts)


# ---- files and directories ------------------------------------------------------------------------


def ignore_progress(_message: str) -> None:
    """Discard the message."""


def test_directory_is_searched_recursively(tmp_path: Path) -> None:
    """The YAML and JSON files of a directory are read in sorted order; hidden directories are skipped."""
    for name in ("a/one.yaml", "a/b/two.yml", "three.json", ".git/four.yaml", "a/five.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(cluster(name=Path(name).stem)))
    found = found_in([str(tmp_path)], io.StringIO(), ignore_progress)
    assert [each.item["metadata"]["name"] for each in found] == ["three", "one", "two"]


def test_other_yaml_in_a_directory_is_skipped(tmp_path: Path) -> None:
    """YAML that is not Kubernetes is skipped in a directory, and is an error as a named file."""
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(cluster()))
    (tmp_path / "values.yaml").write_text("replicas: 2\n---\n- a list\n")
    assert len(found_in([str(tmp_path)], io.StringIO(), ignore_progress)) == 1
    with pytest.raises(InputError, match=r"values\.yaml:1: expected a Kubernetes object"):
        found_in([str(tmp_path / "values.yaml")], io.StringIO(), ignore_progress)


def test_incomplete_object_is_an_error(tmp_path: Path) -> None:
    """A document with a kind and without apiVersion is an error, also in a directory."""
    (tmp_path / "cluster.yaml").write_text("# a comment\nkind: DaskCluster\n")
    with pytest.raises(InputError, match=r"cluster\.yaml:2: expected a Kubernetes object"):
        found_in([str(tmp_path)], io.StringIO(), ignore_progress)


def test_invalid_other_files_in_a_directory_are_skipped(tmp_path: Path) -> None:
    """Files with custom tags or comments in JSON are skipped if they have no apiVersion and kind."""
    (tmp_path / "mkdocs.yml").write_text("site: x\nextensions: !!python/name:a.b\n")
    (tmp_path / "template.yaml").write_text("Resources:\n  A: !Ref B\n")
    (tmp_path / "tsconfig.json").write_text('// a comment\n{"compilerOptions": {}}\n')
    assert found_in([str(tmp_path)], io.StringIO(), ignore_progress) == ()


def test_every_invalid_file_is_reported_with_its_line(tmp_path: Path) -> None:
    """All invalid files are reported at once, each with file and line."""
    (tmp_path / "a.yaml").write_text("apiVersion: v1\nkind: [\n")
    (tmp_path / "b.yaml").write_text("apiVersion: v1\n\nkind: {{ .Values.kind }}\n")
    with pytest.raises(InputError) as caught:
        found_in([str(tmp_path)], io.StringIO(), ignore_progress)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path}/a.yaml:3: ")
    assert second.startswith(f"{tmp_path}/b.yaml:3: ")


def test_empty_directory_is_an_error(tmp_path: Path) -> None:
    """A directory without manifests is an error."""
    with pytest.raises(InputError, match=r"no \*\.yaml, \*\.yml, \*\.json files in this directory"):
        found_in([str(tmp_path)], io.StringIO(), ignore_progress)


# ---- attributed diff -------------------------------------------------------------------------------


def test_each_added_line_has_its_decision() -> None:
    """Every added line belongs to the rule that added it, also if two rules share a parent."""
    one = reviewed(STRIPPED.read_text(), apart="5", scheduler_placement="keep")
    owners = {
        line.text.strip(): line.decision.reason for line in diff(one) if line.sign == "+" and line.decision is not None
    }
    assert owners["- dask-cuda-worker"] is Reason.COMMAND_CONVERTED
    assert owners["nvidia.com/gpu: '1'"] is Reason.GPU_LIMIT_ADDED
    assert owners["podAffinity:"] is Reason.AFFINITY_ADDED
    assert owners["podAntiAffinity:"] is owners["namespaceSelector: {}"] is Reason.APART_ADDED
    assert owners["- maxSkew: 32"] is Reason.EMPTIER_ADDED
    assert all(line.decision for line in diff(one) if line.sign == "+")


def test_first_line_of_each_change_has_the_reason() -> None:
    """The first line of each change has its reason as a YAML comment."""
    lines = [line.plain for line in shown(reviewed(STRIPPED.read_text()))]
    beside = [line for line in lines if "  # " in line]
    assert [line.rpartition("  # ")[2] for line in beside] == [
        "command: command-converted",
        "gpu: gpu-limit-added",
        "affinity: affinity-added",
        "emptier: emptier-added",
        "scheduler-placement: scheduler-placement-added",
    ]
    assert lines[0].startswith("@@ -")


def test_unchanged_object_has_no_diff() -> None:
    """The guide's manifest is unchanged and has an empty diff."""
    assert list(diff(reviewed(GUIDE.read_text()))) == []


# ---- SARIF ----------------------------------------------------------------------------------------


def test_sarif_has_file_and_line() -> None:
    """Each result has the line of its change and its reason as rule."""
    one = reviewed(STRIPPED.read_text())
    (run,) = sarif([one], "1.2.3")["runs"]
    lines = {each["ruleId"]: each["locations"][0]["physicalLocation"] for each in run["results"]}
    text = STRIPPED.read_text().splitlines()
    at = {key: text[place["region"]["startLine"] - 1].strip() for key, place in lines.items()}
    assert at["command-converted"] == "args:"
    assert at["gpu-limit-added"] == "- name: worker"
    assert at["affinity-added"] == "spec:"
    assert {place["artifactLocation"]["uri"] for place in lines.values()} == {"it.yaml"}


def test_sarif_rules_are_the_reasons() -> None:
    """Every reason is a SARIF rule, and each result refers to its rule by id and index."""
    (run,) = sarif([reviewed(STRIPPED.read_text()), reviewed(GUIDE.read_text())], "1.2.3", include_skipped=True)["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [reason.value for reason in Reason]
    assert all(rule["shortDescription"]["text"] for rule in rules)
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert (result["kind"], result["level"]) in GRADES.values()


def test_sarif_has_the_shape_of_2_1_0(capsys: pytest.CaptureFixture[str]) -> None:
    """The log has the properties that SARIF 2.1.0 requires and no unknown ones."""
    options = ReviewOptions(tried=("scheduler-gpu=2",), output="sarif", explain=True)
    document = as_json(capsys, str(EXAMPLES), options=options)
    assert (document["version"], document["$schema"]) == (
        "2.1.0",
        "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
    )
    _shaped(document, "log")


def test_sarif_contains_warnings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Warnings, such as for a malformed annotation of a namespace, are notifications of the run."""
    file = tmp_path / "both.yaml"
    file.write_text(yaml.safe_dump_all([namespace(gpu_limit="many"), cluster(), pod()]))
    (run,) = as_json(capsys, str(file), options=ReviewOptions(output="sarif"))["runs"]
    _shaped(run, "run")
    told = run["invocations"][0]["toolExecutionNotifications"]
    assert any("gpu-limit='many'" in each["message"]["text"] for each in told)


# Properties of the objects that we write, from sections 3.13-3.28, 3.49 and 3.58 of the specification. A string refers
# to another object, a list to a list of such objects.
_SHAPES: dict[str, dict[str, Unstructured]] = {
    "log": {"$schema": str, "version": str, "runs": ["run"]},
    "run": {"tool": "tool", "columnKind": str, "invocations": ["invocation"], "results": ["result"]},
    "tool": {"driver": "component"},
    "component": {"name": str, "version": str, "informationUri": str, "rules": ["descriptor"]},
    "descriptor": {"id": str, "shortDescription": "message"},
    "message": {"text": str},
    "invocation": {"executionSuccessful": bool, "toolExecutionNotifications": ["notification"]},
    "notification": {"level": str, "message": "message", "locations": ["location"]},
    "result": {
        "ruleId": str,
        "ruleIndex": int,
        "kind": str,
        "level": str,
        "message": "message",
        "locations": ["location"],
    },
    "location": {"physicalLocation": "physical", "logicalLocations": ["logical"]},
    "physical": {"artifactLocation": "artifact", "region": "region"},
    "artifact": {"uri": str},
    "region": {"startLine": int},
    "logical": {"fullyQualifiedName": str, "kind": str},
}


def _shaped(document: Unstructured, name: str) -> None:
    shape = _SHAPES[name]
    assert document.keys() == shape.keys(), name
    for key, wanted in shape.items():
        value = document[key]
        if isinstance(wanted, str):
            _shaped(value, wanted)
        elif isinstance(wanted, list):
            for each in value:
                _shaped(each, wanted[0])
        else:
            assert type(value) is wanted, (name, key)

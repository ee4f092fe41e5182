from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jsonpatch
import pytest
import yaml

from tests.unit.objects import cluster, namespace, pod, review
from webhook.cli import main
from webhook.cli.options import ReviewOptions
from webhook.mutators import RULES
from webhook.policy import PREFIX
from webhook.review.recommendations import GUIDE_TERM_NODES
from webhook.workloads.unstructured import Unstructured

EXAMPLES = Path(str(resources.files("webhook.cli"))) / "examples"
STRIPPED, GUIDE = str(EXAMPLES / "cluster.yaml"), str(EXAMPLES / "guide-cluster.yaml")
NAMESPACE = EXAMPLES / "namespace.yaml"
RULE_NAMES = {name for rules in RULES.values() for name in rules}


def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `dask-colocate review ARGUMENTS` as a process."""
    argv = [sys.executable, "-m", "webhook", "review", *arguments]
    variables = {"PATH": os.environ["PATH"], "COLUMNS": "200", **environment}
    return subprocess.run(
        argv,
        input=stdin,
        capture_output=True,
        text=True,
        env=variables,
        cwd=EXAMPLES.parents[2],
        timeout=60,
        check=False,
    )


def written(folder: Path, *documents: Unstructured) -> str:
    """Write a YAML file and return its name."""
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return str(file)


# ---- process: exit status, stdin, stderr -----------------------------------------------------------


def test_changes_are_no_failure() -> None:
    """Without --check the exit status is 0, and diff, decisions and reasons are printed."""
    done = run(STRIPPED)
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("+", "dask-cuda-worker", "nvidia.com/gpu", "affinity-added", "gpu-limit-added", "command-converted"):
        assert part in done.stdout


def test_check_fails_if_something_would_change(capsys: pytest.CaptureFixture[str]) -> None:
    """With --check the exit status is 1 if an object would change, else 0."""
    done = run("--check", STRIPPED)
    assert done.returncode == 1
    assert {"affinity-added", "emptier-added", "gpu-limit-added", "command-converted"} <= set(done.stdout.split())
    assert run("--check", GUIDE).returncode == 0
    assert main.review(GUIDE, options=ReviewOptions(check=True, output="patch")) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_standard_input_is_read(arguments: tuple[str, ...]) -> None:
    """Standard input is read for `-` and without files."""
    done = run(*arguments, "--output", "json", stdin=json.dumps(cluster()))
    assert [one["source"] for one in json.loads(done.stdout)] == ["<stdin>"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("apiVersion: v1\nkind: Pod\nmetadata: {\n", "<stdin>:4: "),
        ("apiVersion: v1\nkind: \x07\n", "<stdin>:"),
        (json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}), "<stdin>:1: "),
    ],
)
def test_invalid_input_is_status_2_with_file_and_line(text: str, complaint: str) -> None:
    """Invalid input ends with status 2 and one line with file and line."""
    done = run("--check", stdin=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_invalid_usage_is_status_2(tmp_path: Path) -> None:
    """A missing or binary file, an unknown value or option, or invalid defaults end with status 2."""
    (tmp_path / "latin1").write_bytes(b"apiVersion: \xe9")
    for arguments in (
        ("nowhere.yaml",),
        (str(tmp_path / "latin1"),),
        ("--output", "xml", STRIPPED),
        ("--defaults", "gpu-limit=one", STRIPPED),
        ("--chek", STRIPPED),
    ):
        done = run(*arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr
        assert done.stderr + done.stdout


def test_options_are_read_from_the_environment() -> None:
    """Options of `review` are also environment variables."""
    done = run("--output", "patch", STRIPPED, DASK_COLOCATE_DEFAULTS="gpu-limit=3")
    (one,) = json.loads(done.stdout)
    assert {"limits": {"nvidia.com/gpu": "3"}} in [operation["value"] for operation in one["patch"]]


def test_empty_input_gives_a_message(tmp_path: Path) -> None:
    """An empty manifest is not an error, but a message is written."""
    (tmp_path / "empty.yaml").write_text("---\n")
    done = run(str(tmp_path))
    assert done.returncode == 0
    assert "nothing to review" in done.stderr


def test_disable_reads_no_environment_variables() -> None:
    """No environment variable selects the namespace or skips the prompt."""
    argv = [sys.executable, "-m", "webhook", "disable"]
    variables = {"DASK_COLOCATE_NAMESPACE": "x", "DASK_COLOCATE_YES": "true"}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    assert done.returncode == 2
    assert "NAMESPACE" in done.stdout + done.stderr


def test_explain_shows_every_rule() -> None:
    """With --explain every rule has a row, also if nothing changes, and recommendations are printed."""
    done = run("--explain", "--check", GUIDE)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert {tuple(row[:3]) for row in rows if row and row[0] in RULE_NAMES} == {
        ("affinity", "kept", "guide-affinity-already-set"),
        ("apart", "skipped", "apart-off"),
        ("emptier", "kept", "spread-already-set"),
        ("gpu", "kept", "gpu-already-set"),
        ("command", "kept", "command-already-dask-cuda"),
        ("dask-cli", "skipped", "dask-cli-off"),
        ("capacity-hint", "skipped", "capacity-hint-off"),
        ("scheduler-placement", "kept", "scheduler-placement-already-set"),
        ("scheduler-gpu", "skipped", "gpu-limit-off"),
    }
    assert all(len(row) > 3 for row in rows if row and row[0] in RULE_NAMES)
    assert "colocate.dask.org/guide-affinity: upgrade" in done.stdout
    assert GUIDE_TERM_NODES in done.stdout


def test_without_explain_skipped_rules_are_hidden() -> None:
    """Without --explain there are no rows for skipped rules and no recommendations."""
    done = run(GUIDE)
    assert "apart-off" not in done.stdout
    assert GUIDE_TERM_NODES not in done.stdout


# ---- output ----------------------------------------------------------------------------------------


def shown(capsys: pytest.CaptureFixture[str], *files: str, namespaces: str | None = None) -> Unstructured:
    """Return the parsed output of `--output json`."""
    file = Path(namespaces) if namespaces else None
    main.review(*files, options=ReviewOptions(namespace_file=file, output="json"))
    return json.loads(capsys.readouterr().out)


def test_patch_gives_the_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    """The patch of `--output patch`, applied to the manifest, gives the object of `--output yaml`."""
    main.review(STRIPPED, options=ReviewOptions(output="patch"))
    (one,) = json.loads(capsys.readouterr().out)
    main.review(STRIPPED, options=ReviewOptions(output="yaml"))
    text = capsys.readouterr().out
    manifest = yaml.safe_load(Path(STRIPPED).read_text())
    assert jsonpatch.apply_patch(manifest, one["patch"]) == yaml.safe_load(text)
    assert (one["kind"], one["namespace"], one["name"]) == ("DaskCluster", "rapids", "rapids-dask-cluster")


def test_reviewed_yaml_is_unchanged_by_a_second_review(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The output of `--output yaml` is unchanged by a second review."""
    main.review(STRIPPED, options=ReviewOptions(output="yaml"))
    again = tmp_path / "again.yaml"
    again.write_text(capsys.readouterr().out)
    assert main.review(str(again), options=ReviewOptions(check=True, output="json")) == 0


def test_every_document_is_reviewed_on_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each object of a file, List or AdmissionReview gives a result with its line, in order."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod(), {"apiVersion": "v1", "kind": "ConfigMap"}]}
    file = written(tmp_path, cluster(), listed, review(cluster(name="sent"), name="sent"))
    found = shown(capsys, file)
    assert [one["kind"] for one in found] == ["DaskCluster", "Pod", "ConfigMap", "DaskCluster"]
    assert [one["status"] for one in found] == ["decided", "decided", "no-target", "decided"]
    assert [one["name"] for one in found] == ["demo", "demo-", "", "sent"]
    assert found[0]["line"] < found[1]["line"] == found[2]["line"] < found[3]["line"]


def test_namespaces_among_the_manifests_apply(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The annotations of a Namespace in the file apply, and the Namespace is not reviewed."""
    file = written(tmp_path, namespace(enabled="false"), cluster())
    assert [one["status"] for one in shown(capsys, file)] == ["not-enabled"]


def test_without_namespaces_every_namespace_is_enabled(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without any Namespace in the input, every namespace is assumed to be enabled."""
    assert [one["status"] for one in shown(capsys, written(tmp_path, cluster()))] == ["decided"]


def test_namespaces_of_the_file_are_the_only_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With a namespace file, other namespaces are unknown; objects without a namespace belong to the only one."""
    elsewhere, nowhere = cluster(), cluster()
    elsewhere["metadata"]["namespace"] = "elsewhere"
    del nowhere["metadata"]["namespace"]
    found = shown(capsys, written(tmp_path, elsewhere, nowhere), namespaces=str(NAMESPACE))
    assert [(one["namespace"], one["status"]) for one in found] == [
        ("elsewhere", "namespace-unknown"),
        ("rapids", "decided"),
    ]


def test_diff_shows_warnings_and_why_an_object_is_unchanged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The output has the reason of an unchanged object, and the warnings."""
    out = cluster(annotations={f"{PREFIX}enabled": "false"})
    main.review(written(tmp_path, namespace(gpu_limit="many"), out, cluster(name="other")))
    text = " ".join(capsys.readouterr().out.split())
    assert "unchanged: it is opted out" in text
    assert "Warning: " in text
    assert "gpu-limit='many'" in text


def test_capacity_file_shows_the_plan(tmp_path: Path) -> None:
    """With --capacity-file the preferred nodes are shown; a missing file is invalid input."""
    node = {
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"kubernetes.io/hostname": "host-n"}},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", **node}]}
    done = run("--capacity-file", written(tmp_path, listed), STRIPPED)
    assert done.returncode == 0, done.stderr
    assert "hint-added" in done.stdout
    assert "host-n" in done.stdout
    assert run("--capacity-file", str(tmp_path / "none"), STRIPPED).returncode == 2


def test_review_imports_no_heavy_packages() -> None:
    """A review of files imports no Kubernetes client, X.509 or web framework, which would take half a second."""
    heavy = "kubernetes cryptography fastapi uvicorn pydantic requests jinja2"
    code = "import sys; from webhook.cli.main import main\n"
    code += "try: main()\nfinally: sys.stderr.write(' '.join({*sys.modules}))"
    argv = [sys.executable, "-c", code, "review", STRIPPED]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "dask-cuda-worker" in done.stdout
    assert "webhook.mutators" in done.stderr.split()
    assert {*heavy.split()} & {*done.stderr.split()} == set()

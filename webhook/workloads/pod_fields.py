"""Fields of pods and containers that rules read.

The pods of a worker group differ in names, volumes and most of their environment, which no rule reads. Two pods with
equal fields here get the same decision, so the decision cache uses these fields as its key.
"""

from webhook.workloads import gpu_nodes, images
from webhook.workloads.unstructured import Unstructured, mapping, sequence

_CLASSIFICATION = ("nodeSelector", "resources", "resourceClaims", "runtimeClassName")
_SPEC = ("affinity", "topologySpreadConstraints", "tolerations", *_CLASSIFICATION)
_CONTAINER = ("name", "image", "command", "args", "resources", "restartPolicy")
# A tuple: the name of a malformed variable may be a list, which no set can look up.
_VARIABLES = ("NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", *sorted(images.ENVIRONMENT))


def of_spec(spec: Unstructured) -> dict[str, Unstructured]:
    """Return the fields of a pod spec that any rule reads."""
    return _with_containers(spec, {key: spec[key] for key in _SPEC if key in spec})


def of_classification(spec: Unstructured) -> dict[str, Unstructured]:
    """Return the fields of a pod spec that the classification as GPU or CPU worker reads."""
    fields = _with_containers(spec, {key: spec[key] for key in _CLASSIFICATION if key in spec})
    if "affinity" in spec and (affinity := gpu_nodes.required_affinity(spec)):
        fields["affinity"] = affinity
    return fields


def of_container(container: Unstructured) -> dict[str, Unstructured]:
    """Return the fields of a container that any rule reads."""
    fields = {key: container[key] for key in _CONTAINER if key in container}
    if "env" in container and (env := _variables(container)):
        fields["env"] = env
    if "securityContext" in container and mapping(container, "securityContext").get("privileged") is True:
        fields["securityContext"] = {"privileged": True}
    if "volumeMounts" in container and images.brings_environment(container):
        fields["volumeMounts"] = [images.ENVIRONMENT_MOUNT]
    return fields


def _variables(container: Unstructured) -> list[Unstructured]:
    env = sequence(container, "env")
    return [variable for variable in env if isinstance(variable, dict) and variable.get("name") in _VARIABLES]


def _with_containers(spec: Unstructured, fields: dict[str, Unstructured]) -> dict[str, Unstructured]:
    """Add the lists of containers, of the same length as in the spec: JSON pointers into them stay correct."""
    for key in ("containers", "initContainers"):
        if key in spec:
            containers = spec[key]
            fields[key] = (
                [of_container(each) if isinstance(each, dict) else each for each in containers]
                if isinstance(containers, list)
                else containers
            )
    return fields

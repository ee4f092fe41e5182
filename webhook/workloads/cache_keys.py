"""Keys of the decision cache for pod templates.

Clusters differ in names, numbers and placement, and run the same pods. Decisions that depend on nothing but the
classification and the Dask container of a pod template hold for every pod template with an equal key.
"""

from webhook.workloads import accelerators, pod_fields
from webhook.workloads.container import Container
from webhook.workloads.pod_templates import PodTemplate, Role
from webhook.workloads.unstructured import Unstructured


def contained(template: PodTemplate, *, labelled: bool = False) -> Unstructured | None:
    """Return the fields of a pod template that its classification and its Dask container need, as JSON.

    Args:
        template: The pod template.
        labelled: Whether classification reads all labels, since a label selector chooses the GPU workers.

    Returns:
        The fields; None without a Dask container.
    """
    container = template.container
    if container is None:
        return None
    key = [template.role.value, template.pointer, template.alone, container.index]
    if template.role is not Role.WORKER:
        return [*key, pod_fields.of_container(container.raw)]
    labels = {**template.labels} if labelled else accelerators.sharing(template.labels)
    is_named = labelled and template.cluster is not None
    return [*key, pod_fields.of_classification(template.spec), template.annotations, labels, is_named]


def container_target(key: Unstructured) -> PodTemplate:
    """Return a pod template with nothing but the fields of a key from `contained`."""
    role, pointer, alone, index, spec, *rest = key
    if not rest:  # a Dask scheduler's container
        spec, rest = {"containers": [*(None for _ in range(index)), spec]}, ({}, {}, False)
    annotations, labels, is_named = rest
    return PodTemplate(
        role=Role(role),
        spec=spec,
        pointer=pointer,
        container=Container(index, spec["containers"][index]),
        cluster="" if is_named else None,
        namespace="",
        labels=labels,
        annotations=annotations,
        alone=alone,
    )

"""Worker groups and Dask schedulers in stored Dask objects, with the nodes that their hints name."""

from collections.abc import Iterator
from typing import NamedTuple

from webhook.placement import objects
from webhook.placement.constraints import constraints
from webhook.placement.hint_item import hint_hostnames, hint_items, planned_size
from webhook.placement.model import Demand, Group
from webhook.policy import Policy
from webhook.policy.topology_presets import HOSTNAME
from webhook.workloads import accelerators
from webhook.workloads.pod_templates import PodTemplate, read
from webhook.workloads.unstructured import TooLargeError, Unstructured

_DEFAULTS = Policy()


class StoredGroup(NamedTuple):
    """A worker group or Dask scheduler in a stored object.

    Attributes:
        group: The group.
        size: Number of pods that it wants.
        demand: All its pods, with the hostnames in its hint; None without a hint.
    """

    group: Group
    size: int
    demand: Demand | None


def stored_groups(item: Unstructured) -> Iterator[StoredGroup]:
    """Yield the groups of a stored DaskCluster or DaskWorkerGroup."""
    dask_object = read(item)
    for template in dask_object.targets if dask_object else ():
        if template.cluster:
            group = objects.template_group(template, template.namespace)
            yield StoredGroup(group, template.replicas, _demand(group, template))


def _demand(group: Group, template: PodTemplate) -> Demand | None:
    items = hint_items(template)
    resource, gpus = _gpu_request(template) if items else ("", 0)
    if gpus <= 0:
        return None
    try:
        node_constraints = constraints(template.spec)
    except TooLargeError:  # the webhook writes no hint to such an object
        return None
    hostnames = tuple(hint_hostnames(items))
    return Demand(
        group=group,
        workers=template.replicas,
        gpus=gpus,
        resource=resource,
        constraints=node_constraints,
        rack_label=next((level.key for level in _DEFAULTS.topology if level.key != HOSTNAME), ""),
        hostnames=hostnames,
        planned_size=planned_size(items) if hostnames else None,
    )


def _gpu_request(template: PodTemplate) -> tuple[str, int]:
    """Return the GPU resource of a pod and how much of it the pod requests; a stored object carries its GPU limits."""
    requests = objects.requests(template.spec)
    gpu_resource = _DEFAULTS.gpu_resource
    names = [name for name in requests if accelerators.device(name, gpu_resource) is not None]
    if gpu_resource not in names and len(names) == 1:
        gpu_resource = names[0]
    return gpu_resource, requests.get(gpu_resource, 0)

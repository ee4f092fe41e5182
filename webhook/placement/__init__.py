"""Free GPUs, reservations and the planner behind capacity hints.

Pure: nodes, pods and devices are passed in, and so is the time.

| file | content |
|---|---|
| `model` | nodes, pods, groups; the questions about a Dask object and the hints that answer them |
| `objects` | conversion of raw Nodes and Pods to the model; the sum of a pod's resource requests |
| `hint_item` | the node affinity item that carries a hint |
| `stored_groups` | groups and their hints in stored Dask objects |
| `selectors` | selectors of DeviceClasses |
| `dra` | devices of Dynamic Resource Allocation and the claims on them |
| `constraints` | node selectors, required node affinity and taints |
| `pool` | nodes that admit one kind of pod, by free GPUs and rack |
| `node_index` | all nodes, bound pods and devices; updates the pools in constant time |
| `planner` | choice of nodes for workers and for a Dask scheduler |
| `reservations` | GPUs reserved for pods that are not bound yet |
| `allocator` | node index, planner and reservations combined |
"""

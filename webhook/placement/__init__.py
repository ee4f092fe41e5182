"""Where a whole Dask cluster fits: free GPUs of nodes, reservations, and the plan that takes the fewest nodes.

Pure: what is known of nodes, pods and devices is handed in, and so is the clock.

| file | holds |
|---|---|
| `model` | nodes, pods, groups; questions about a Dask object, and the hints that answer them |
| `objects` | raw Nodes and Pods as these; the sum of a pod's requests |
| `selectors` | selectors of DeviceClasses |
| `dra` | devices of Dynamic Resource Allocation, and the claims on them |
| `constraints` | whether a node takes a pod at all |
| `pool` | the nodes that take one kind of pod, by free GPUs and rack |
| `node_index` | all nodes, pods and devices; keeps the pools, in constant time for each change |
| `planner` | pool and workers to nodes; pool and Dask scheduler to a node |
| `reservations` | GPUs reserved for pods that are not bound yet |
| `allocator` | node index, planner and reservations in one |
"""

"""Where a whole Dask cluster fits: free GPUs of nodes, and the plan that takes the fewest of them.

Pure: what is known of nodes and pods is handed in, and so is the clock.

| file | holds |
|---|---|
| `model` | what a node, a pod and a demand are; a Hint, or why there is none |
| `objects` | raw Nodes and Pods as these |
| `constraints` | whether a node takes a worker at all |
| `pool` | the nodes that take one kind of worker, by free GPUs and rack |
| `index` | all nodes and pods; keeps the pools, in constant time for each change |
| `planner` | pool and demand to hosts |
| `ledger` | what was promised and is not bound yet |
| `stock` | index, planner and ledger as one |
"""

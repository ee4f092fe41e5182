"""A real control plane on a bare machine, with simulated nodes and the real Dask operator.

`binaries` finds or builds the programs, `controlplane` starts them, `nodes` plays the kubelets,
`dask_operator` and `dask_runtime` bring Dask, `webhooks` registers or records an admission webhook, and
`bed` puts all of it in the hands of a test.
"""

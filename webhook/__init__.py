"""A mutating admission webhook that keeps the GPU workers of a Dask cluster together."""

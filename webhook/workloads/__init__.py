"""Dask objects as pod templates: labels, containers, commands and accelerators."""

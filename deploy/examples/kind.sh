#!/bin/sh -e
# Installs dask-colocate on a new kind cluster, with an image built from this repository. Run it in the repository's root.
docker build --tag dask-colocate:local .
kind create cluster --name dask-colocate
kind load docker-image dask-colocate:local --name dask-colocate
kubectl apply -k deploy/examples/local
kubectl rollout status --namespace dask-colocate deployment/dask-colocate
kubectl annotate namespace default colocate.dask.org/enabled=true

#!/bin/sh -e
# Installs dask-colocate on a new minikube cluster, with an image built from this repository. Run it in the repository's root.
docker build --tag dask-colocate:local .
minikube start
minikube image load dask-colocate:local
kubectl apply -k deploy/examples/local
kubectl rollout status --namespace dask-colocate deployment/dask-colocate
kubectl annotate namespace default colocate.dask.org/enabled=true

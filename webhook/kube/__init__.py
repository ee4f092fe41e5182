"""Access to the Kubernetes API: client, informer, namespaces, capacity and manifests."""

"""Certificate rotation: a control loop, its certificate sources, and the ports to a Kubernetes cluster."""

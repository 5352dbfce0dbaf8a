"""More than one machine: a gateway before replicas that own streams, on Ray Serve; see docs/scaling.md."""

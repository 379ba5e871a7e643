"""What nbflow costs, measured beside its peers: `python -m benchmarks`."""

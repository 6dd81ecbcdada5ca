"""The contract with Jupyter: real managers, servers and kernels, without a cluster."""

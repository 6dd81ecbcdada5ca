"""Many kernels on one server: what the server's event loop, its threads and the cluster make of them."""

"""Many silent connections at once: ``flood.py PORT COUNT SECONDS``, prints how many were made."""

import contextlib
import resource
import socket
import sys
import time

if __name__ == "__main__":
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    for number in range(count):
        with contextlib.suppress(OSError):
            connections.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            # every other one has begun TLS: a record of which the rest never comes
            connections[-1].sendall(b"\x16\x03\x01\x40\x00" if number % 2 else b"")
    print(len(connections), flush=True)
    time.sleep(seconds)

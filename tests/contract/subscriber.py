"""Another user's client: ``subscriber.py UID PORT SECONDS``, prints how many messages it heard on iopub.

CURVE keys come as a JSON object on standard input, where nobody else sees them.
"""

import json
import os
import sys
import time

import zmq

if __name__ == "__main__":
    uid, port, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    keys = json.load(sys.stdin)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)  # after the imports: the interpreter may be where that user can't read
    socket = zmq.Context().socket(zmq.SUB)
    for name, key in keys.items():
        setattr(socket, name, key.encode())
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(f"tcp://127.0.0.1:{port}")
    print("connecting", flush=True)
    heard = 0
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if socket.poll(int(left * 1000) + 1):
            socket.recv_multipart()
            heard += 1
    print(heard, flush=True)
    socket.close(linger=0)

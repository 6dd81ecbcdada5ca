"""Another user's client: ``subscriber.py UID PORT``, prints a line for each message that it hears on iopub.

CURVE keys come as a JSON object on standard input, where nobody else sees them.
"""

import json
import os
import sys

import zmq

if __name__ == "__main__":
    uid, port = int(sys.argv[1]), int(sys.argv[2])
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
    while True:
        socket.recv_multipart()
        print("heard", flush=True)

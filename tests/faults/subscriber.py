#!/usr/bin/env python3
"""The subscriber of the fault tests: appends the number of each record to a file.

    subscriber.py ENDPOINT FILE [MICROSECONDS [SUB|PULL [BYTES]]]

Binds to the endpoint, or connects if a ">" is in front of it, and says "up". It takes MICROSECONDS for
each record, and its system receives up to BYTES ahead. When it is killed, the file has all that it has taken.
"""

import os
import signal
import sys
import time

import zmq


def main():
    endpoint, path = sys.argv[1:3]
    delay = float(sys.argv[3]) / 1e6 if len(sys.argv) > 3 else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    kind = sys.argv[4] if len(sys.argv) > 4 else "SUB"
    socket = zmq.Context().socket(getattr(zmq, kind))
    if len(sys.argv) > 5:
        socket.rcvbuf = int(sys.argv[5])
    if kind == "SUB":
        socket.subscribe(b"numbers")
    deadline = time.monotonic() + 10
    while True:
        try:
            if endpoint.startswith(">"):
                socket.connect(endpoint[1:])
            else:
                socket.bind(endpoint)
            break
        except zmq.ZMQError:
            # The subscriber before this one has just been killed.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    print("up", flush=True)
    while True:
        topic, record = socket.recv_multipart()
        assert topic == b"numbers" and record.startswith(b'{"n":"'), (topic, record)
        number = int(record[6 : record.index(b'"', 6)])
        os.write(out, number.to_bytes(8, "little"))
        if delay:
            time.sleep(delay)


if __name__ == "__main__":
    main()

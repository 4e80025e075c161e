#!/usr/bin/env python3
"""A subscriber made of nothing but Python and pyzmq.

  subscriber.py bind|connect ENDPOINT COUNT TIMEOUT_MS [TOPIC]

Prints each message as PATH<TAB>JSON until COUNT have come or TIMEOUT_MS have passed
(COUNT 0: until the time is up). Says "ready" on stderr once the socket is bound or
connected.

Exit status: 0 all came (or COUNT 0), 1 time is up, 2 a message does not have exactly
two frames or its JSON does not parse, 3 wrong arguments.
"""

import json
import sys
import time

import zmq


def main():
    if len(sys.argv) not in (5, 6) or sys.argv[1] not in ("bind", "connect"):
        print("usage: subscriber.py bind|connect ENDPOINT COUNT TIMEOUT_MS [TOPIC]", file=sys.stderr)
        return 3
    how, endpoint = sys.argv[1], sys.argv[2]
    count = int(sys.argv[3])
    deadline = time.monotonic() + int(sys.argv[4]) / 1000
    topic = sys.argv[5] if len(sys.argv) > 5 else ""

    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
    getattr(socket, how)(endpoint)
    print("ready", file=sys.stderr, flush=True)

    received = 0
    while count == 0 or received < count:
        left = deadline - time.monotonic()
        if left <= 0 or not socket.poll(left * 1000, zmq.POLLIN):
            if count == 0:
                return 0
            print(f"subscriber.py: time is up, {received} of {count} messages", file=sys.stderr)
            return 1
        frames = socket.recv_multipart()
        if len(frames) != 2:
            print(f"subscriber.py: a message of {len(frames)} frame(s), expected 2", file=sys.stderr)
            return 2
        path, record = frames
        try:
            json.loads(record)
        except ValueError as error:
            print(f"subscriber.py: {record!r}: {error}", file=sys.stderr)
            return 2
        sys.stdout.buffer.write(path + b"\t" + record + b"\n")
        sys.stdout.buffer.flush()
        received += 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Prints each HTTP request and each notice that arrives, as a program of your own would use them.

    pip install pyzmq
    ./subscribe.py [ENDPOINT]        default: tcp://127.0.0.1:12345

Zeek connects to it: redef LogZeroMQ::endpoint = "tcp://127.0.0.1:12345";
"""

import json
import sys
from datetime import datetime, timezone

import zmq


def show(path, record):
    time = datetime.fromtimestamp(record["ts"], timezone.utc).strftime("%H:%M:%S")
    # A field that is not set is left out.
    client = record.get("id.orig_h", record.get("src", "-"))
    if path == "http":
        what = f'{record.get("method", "-")} {record.get("host", "-")}{record.get("uri", "")}'
    else:
        what = f'{record["note"]}: {record.get("msg", "")}'
    # Text from the network can hold anything, also what commands a terminal.
    print(time, path, client, ascii(what)[1:-1], flush=True)


def main():
    endpoint = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:12345"
    socket = zmq.Context().socket(zmq.SUB)
    # Records that may wait here while this program is busy; beyond that, they wait at the sender.
    socket.set_hwm(10_000)
    # Subscriptions are beginnings of log paths; all logs: "".
    socket.subscribe("http")
    socket.subscribe("notice")
    socket.bind(endpoint)
    while True:
        path, records = socket.recv_multipart()
        # One record, unless the sender sets LogZeroMQ::batch_records.
        for record in records.splitlines():
            show(path.decode(), json.loads(record))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass

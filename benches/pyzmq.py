"""A subscriber as people write them, for the benchmark of batches (benches/publish.rs).

Prints its endpoint, receives as many records as it is told, reads each with json.loads if
"parse" is given, and prints the seconds that took and its CPU time in seconds.
"""

import json
import sys
import time

import zmq


def main():
    count, parse = int(sys.argv[1]), sys.argv[2:] == ["parse"]
    socket = zmq.Context().socket(zmq.SUB)
    socket.set_hwm(0)
    socket.subscribe("")
    socket.bind("tcp://127.0.0.1:*")
    print(socket.getsockopt_string(zmq.LAST_ENDPOINT), flush=True)
    received, start = 0, None
    while received < count:
        _, records = socket.recv_multipart()
        if start is None:
            start, cpu = time.perf_counter(), time.process_time()
        records = records.splitlines()
        received += len(records)
        if parse:
            for record in records:
                json.loads(record)
    print(time.perf_counter() - start, time.process_time() - cpu)


main()

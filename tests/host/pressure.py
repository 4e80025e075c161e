#!/usr/bin/env python3
"""What a real host does when its pyzmq subscriber does not read: the high water mark, and
lingering at exit.

    pressure.py PROGRAM SCRATCH

PROGRAM is the bro or zeek, its environment naming and activating the plugin.
"""

import os
import re
import subprocess
import sys
import time

import zmq

HERE = os.path.dirname(os.path.abspath(__file__))
# More than the buffers of both kernels hold.
RECORDS = 30000
TOTALS = re.compile(r"(\d+) records written, (\d+) sent \(\d+ bytes\), (\d+) dropped .*queue full: (\d+)")


def run(program, scratch, name, read_after, options):
    """Runs the host while a subscriber does not read until `read_after` (seconds, or None:
    never). Returns the totals that the host told, what arrived, and how long it took."""
    work = os.path.join(scratch, name)
    os.makedirs(work)
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 10)
    socket.setsockopt(zmq.RCVBUF, 16384)
    socket.setsockopt(zmq.SUBSCRIBE, b"hosttest")
    # TCP: when the sender closes a Unix domain socket, libzmq's receiver gives up what it
    # has not read yet while its queue is full.
    endpoint = "tcp://127.0.0.1:%d" % socket.bind_to_random_port("tcp://127.0.0.1")
    start = time.monotonic()
    with open(os.path.join(work, "out"), "w+") as out:
        host = subprocess.Popen(
            [program, "-b", os.path.join(HERE, "records.zeek"), "NCSA/ZeroMQWriter",
             "LogZeroMQ::endpoint=" + endpoint, "HostTest::how_many=%d" % RECORDS, *options],
            cwd=work, stdout=out, stderr=subprocess.STDOUT)
        # A subscription is sent by a call into the socket.
        assert socket.poll(20000), "nothing arrived"
        arrived = []
        if read_after is not None:
            time.sleep(read_after)
            while socket.poll(2000):
                arrived.append(socket.recv_multipart())
        code = host.wait(timeout=120)
        taken = time.monotonic() - start
        out.seek(0)
        said = out.read()
    context.destroy(0)
    assert code == 0, "exit status %d: %s" % (code, said)
    totals = [tuple(map(int, found)) for found in TOTALS.findall(said)]
    totals = [found for found in totals if found[1] > 0]
    assert totals, "no totals: " + said
    return totals[0], arrived, taken


def linger(program, scratch):
    """Everything waits for a subscriber that reads late."""
    (written, sent, dropped, _), arrived, _ = run(
        program, scratch, "linger", 3, ["LogZeroMQ::zmq_hwm=0", "LogZeroMQ::zmq_linger=60000"])
    assert (written, sent, dropped) == (RECORDS, RECORDS, 0), (written, sent, dropped)
    assert len(arrived) == RECORDS, len(arrived)
    assert all(len(frames) == 2 and frames[0] == b"hosttest" for frames in arrived)


def high_water_mark(program, scratch):
    """What is above the mark is dropped and counted; what is below arrives."""
    (written, sent, dropped, queue_full), arrived, _ = run(
        program, scratch, "hwm", 3, ["LogZeroMQ::zmq_hwm=50", "LogZeroMQ::zmq_linger=60000"])
    assert written == RECORDS == sent + dropped, (written, sent, dropped)
    assert queue_full == dropped > 0, (queue_full, dropped)
    assert len(arrived) == sent, (len(arrived), sent)


def dead_subscriber(program, scratch):
    """A subscriber that never reads holds the exit up for the linger time only."""
    _, _, taken = run(program, scratch, "dead", None, ["LogZeroMQ::zmq_hwm=0", "LogZeroMQ::zmq_linger=1000"])
    assert taken < 20, taken


def main():
    program, scratch = sys.argv[1:]
    failed = 0
    for test in (linger, high_water_mark, dead_subscriber):
        try:
            test(program, scratch)
            print("ok      " + test.__doc__)
        except AssertionError as error:
            failed += 1
            print("FAILED  %s %s" % (test.__doc__, error))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

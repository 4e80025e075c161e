#!/usr/bin/env python3
"""What a real host does when its pyzmq subscriber does not read: the high water mark, and
lingering at exit, however that comes.

    pressure.py PROGRAM SCRATCH

PROGRAM is the bro or zeek, its environment naming and activating the plugin.
"""

import os
import re
import signal
import subprocess
import sys
import time

import zmq

HERE = os.path.dirname(os.path.abspath(__file__))
# More records than the buffers of both ends hold.
RECORDS = 30000
# Options for numbers.zeek: write fast, until the host is ended.
ENDLESS = ["HostTest::how_many=100000000", "HostTest::rate=100000"]
TOTALS = re.compile(
    r"(\d+) records? written, (\d+) sent \(\d+ bytes\)(?:, (\d+) dropped \((?:.*queue full: (\d+))?)?")


def subscriber(context, topic):
    """A socket that takes little before it is read from, and its endpoint."""
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 10)
    socket.setsockopt(zmq.RCVBUF, 16384)
    socket.setsockopt(zmq.SUBSCRIBE, topic)
    # TCP: when the sender closes a Unix domain socket, libzmq's receiver gives up what it
    # has not read yet while its queue is full.
    return socket, "tcp://127.0.0.1:%d" % socket.bind_to_random_port("tcp://127.0.0.1")


class Host:
    """A host that runs one of the scripts here and publishes to an endpoint."""

    def __init__(self, program, work, script, endpoint, options):
        os.makedirs(work)
        self.out = open(os.path.join(work, "out"), "w+")
        self.process = subprocess.Popen(
            [program, "-b", os.path.join(HERE, script), "NCSA/ZeroMQWriter", "LogZeroMQ::endpoint=" + endpoint,
             *options], cwd=work, stdout=self.out, stderr=subprocess.STDOUT)

    def end(self):
        """Waits for the host's end; returns its exit status, and what it has said."""
        code = self.process.wait(timeout=120)
        with self.out as out:
            out.seek(0)
            return code, out.read()


def run(program, scratch, name, read_after, options):
    """Runs the host while a subscriber does not read until `read_after` (seconds, or None:
    never). Returns the totals that the host told, what arrived, and how long it took."""
    context = zmq.Context()
    socket, endpoint = subscriber(context, b"hosttest")
    start = time.monotonic()
    host = Host(program, os.path.join(scratch, name), "records.zeek", endpoint,
                ["HostTest::how_many=%d" % RECORDS, *options])
    # A subscription is sent by a call into the socket.
    assert socket.poll(20000), "nothing arrived"
    arrived = []
    if read_after is not None:
        time.sleep(read_after)
        while socket.poll(2000):
            arrived.append(socket.recv_multipart())
    code, said = host.end()
    taken = time.monotonic() - start
    context.destroy(0)
    assert code == 0, "exit status %d: %s" % (code, said)
    totals = [tuple(int(number or 0) for number in found) for found in TOTALS.findall(said)]
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


def end(program, scratch, name, how, options):
    """Ends the host with a signal (None: it ends by itself) while its subscriber takes nothing.
    Returns its exit status, what it said, and how long its end took."""
    context = zmq.Context()
    socket, endpoint = subscriber(context, b"numbers")
    host = Host(program, os.path.join(scratch, name), "numbers.zeek", endpoint,
                ["LogZeroMQ::zmq_hwm=0", "LogZeroMQ::zmq_linger=1000", *options])
    assert socket.poll(20000), "nothing arrived"
    if how is not None:
        # By now more has been written than the buffers take.
        time.sleep(4)
        host.process.send_signal(how)
    start = time.monotonic()
    code, said = host.end()
    taken = time.monotonic() - start
    context.destroy(0)
    return code, said, taken


def asked_to_end(program, scratch):
    """SIGTERM and SIGINT end a host with a dead subscriber in the linger time, and all is accounted for."""
    for how in (signal.SIGTERM, signal.SIGINT):
        code, said, taken = end(program, scratch, how.name, how, ENDLESS)
        # Some hosts end with the status of a signal that was handled.
        assert code in (0, how, 128 + how), (how.name, code, said)
        assert taken < 20, (how.name, taken)
        (written, sent, dropped, _), = [tuple(int(number or 0) for number in found) for found in TOTALS.findall(said)]
        assert written == sent + dropped and dropped > 0, (how.name, said)


def aborted(program, scratch):
    """A host that aborts, or ends with a fatal error, is not held up."""
    code, said, taken = end(program, scratch, "abort", signal.SIGABRT, ENDLESS)
    assert code == -signal.SIGABRT and taken < 20, (code, taken, said)
    options = ["HostTest::how_many=30000", "HostTest::stay=1 sec", "HostTest::fail=T"]
    code, said, taken = end(program, scratch, "fatal", None, options)
    assert code != 0 and "as asked for" in said and taken < 30, (code, taken, said)


def main():
    program, scratch = sys.argv[1:]
    failed = 0
    for test in (linger, high_water_mark, dead_subscriber, asked_to_end, aborted):
        try:
            test(program, scratch)
            print("ok      " + test.__doc__)
        except AssertionError as error:
            failed += 1
            print("FAILED  %s %s" % (test.__doc__, error))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

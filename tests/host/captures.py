#!/usr/bin/env python3
"""Runs a real host over the committed captures and compares what a pyzmq subscriber
received with the host's own JSON logs of the same run: every record, every byte.

    captures.py PROGRAM MODERN SCRATCH [CAPTURE ...]

PROGRAM is the bro or zeek, its environment naming the plugin; MODERN is 1 if its own JSON is
that of Zeek 4.2 and later (else only the number of records is compared). Prints a line for
each capture and ends with 1 if one of them failed.
"""

import glob
import json
import os
import re
import subprocess
import sys
import threading

import zmq
import zmq.auth

HERE = os.path.dirname(os.path.abspath(__file__))
CAPTURES = os.path.join(HERE, "..", "data", "captures")
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e-?\d+)?")
# True for Zeek 8.1, which writes control characters as JSON escapes or as they are, and the rest of their
# string as if they were not there.
ZEEK_8_1 = os.environ.get("HOST_JSON") == "8.1"
STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
CONTROL = re.compile(rb"(?<!\\)((?:\\\\)*)(?:\\u00([01][0-9A-F])|(\x7f))")
# Logs that the host writes at exit about its own end, some after their streams' other
# writers have gone.
IGNORED = {"reporter", "loaded_scripts", "packet_filter", "stats", "telemetry"}


class Subscriber(threading.Thread):
    """Receives until it is told to stop and nothing more comes; encrypted if there is a file of keys."""

    def __init__(self, context, endpoint, keys=None):
        super().__init__()
        self.socket = context.socket(zmq.SUB)
        if keys:
            self.socket.curve_publickey, self.socket.curve_secretkey = zmq.auth.load_certificate(keys)
            self.socket.curve_server = True
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        self.socket.bind(endpoint)
        self.records = {}
        self.malformed = 0
        self.alone = []
        self.over = threading.Event()

    def run(self):
        while True:
            if not self.socket.poll(300):
                if self.over.is_set():
                    break
                continue
            frames = self.socket.recv_multipart()
            if len(frames) != 2:
                self.malformed += 1
                self.alone += frames if len(frames) == 1 else []
                continue
            self.records.setdefault(frames[0].decode(), []).append(frames[1])
        self.socket.close(0)


def as_other_hosts_write(string):
    """A string of Zeek 8.1's JSON as 8.0 and 8.2 write it."""
    escaped, controls = CONTROL.subn(
        lambda found: found[1] + b"\\\\x%02x" % (int(found[2], 16) if found[2] else found[3][0]), string)
    return re.sub(rb"[\x80-\xff]", lambda byte: b"\\\\x%02x" % byte[0][0], escaped) if controls else string


def same_but_for_digits(ours, theirs):
    """Returns True if the texts are the same but for digits: RapidJSON does not always find the
    fewest, so equal numbers will do if ours has no more digits."""
    if ZEEK_8_1:
        theirs = STRING.sub(lambda found: as_other_hosts_write(found[0]), theirs)
    if ours == theirs:
        return True
    a, b = NUMBER.findall(ours), NUMBER.findall(theirs)
    return (
        NUMBER.sub(b"#", ours) == NUMBER.sub(b"#", theirs)
        and len(a) == len(b)
        and all(x == y or (float(x) == float(y) and len(x) <= len(y)) for x, y in zip(a, b))
    )


def run(program, modern, scratch, capture, name="", arguments=(os.path.join(HERE, "all-columns.zeek"),)):
    """Returns what is wrong, and how many records there were of how many logs."""
    work = os.path.join(scratch, name + os.path.basename(capture))
    os.makedirs(work)
    endpoint = "ipc://" + os.path.join(work, "socket")
    context = zmq.Context()
    subscriber = Subscriber(context, endpoint)
    subscriber.start()
    host = subprocess.run(
        [program, "-C", "-r", os.path.abspath(capture), "local", "NCSA/ZeroMQWriter",
         "LogZeroMQ::endpoint=" + endpoint, "LogZeroMQ::zmq_hwm=0", "LogZeroMQ::zmq_linger=20000",
         "LogAscii::use_json=T", *arguments],
        cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False,
        env={**os.environ, "ZEEK_DNS_FAKE": "1", "BRO_DNS_FAKE": "1"},
    )
    subscriber.over.set()
    subscriber.join()
    context.destroy(0)

    wrong = []
    if host.returncode != 0:
        wrong.append("exit status %d: %s" % (host.returncode, host.stdout.decode(errors="replace")[-500:]))
    if subscriber.malformed:
        wrong.append("%d messages without two frames" % subscriber.malformed)
    logs = {os.path.basename(name)[:-4]: name for name in glob.glob(os.path.join(work, "*.log"))}
    count = 0
    for path in sorted((set(logs) | set(subscriber.records)) - IGNORED):
        received = subscriber.records.get(path, [])
        with open(logs[path], "rb") if path in logs else open(os.devnull, "rb") as log:
            logged = log.read().splitlines()
        count += len(received)
        if len(received) != len(logged):
            wrong.append("%s: %d records received, %d logged" % (path, len(received), len(logged)))
        for number, (ours, theirs) in enumerate(zip(received, logged), 1):
            json.loads(ours)
            if modern and not same_but_for_digits(ours, theirs):
                wrong.append("%s, record %d:\n  received %r\n  logged   %r" % (path, number, ours, theirs))
                break
    if "conn" not in subscriber.records:
        wrong.append("no conn record arrived")
    return wrong, count, len(subscriber.records)


def main():
    program, modern, scratch = sys.argv[1], sys.argv[2] == "1", sys.argv[3]
    captures = sys.argv[4:] or sorted(glob.glob(os.path.join(CAPTURES, "*.pcap")))
    failed = 0
    for capture in captures:
        wrong, records, logs = run(program, modern, scratch, capture)
        failed += bool(wrong)
        print("%s  %s: %d records of %d logs" % (
            "FAILED" if wrong else "ok    ", os.path.basename(capture), records, logs))
        for line in wrong:
            print("        " + line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Passes records on to Redis streams, one for each log path: zeek:conn, zeek:dns and so on.

    pip install pyzmq redis
    ./zeek-to-redis.py --bind tcp://*:12345 --redis redis://127.0.0.1:6379/0

Each entry has one field, json. Consumer groups of Redis share the records of a stream among
several programs, remember what each has taken, and give it out again if one fails:

    redis-cli XGROUP CREATE zeek:conn alerts '$' MKSTREAM
    redis-cli XREADGROUP GROUP alerts me COUNT 100 BLOCK 5000 STREAMS zeek:conn '>'

While Redis cannot be reached, records wait in memory, --keep at most; what comes after that
is lost and counted. Records can come twice if the connection breaks while they are passed on.
Ended by Ctrl-C or SIGTERM it takes what has arrived, and nothing else, and passes it on.
"""

import argparse
import collections
import os
import signal
import socket
import sys
import time

import redis
import zmq
from zmq.utils.monitor import recv_monitor_message

BATCH = 1_000  # records passed on at once, at most
PAUSE = 1.0  # seconds until Redis is tried again
LAST = 10.0  # seconds that the end waits for Redis, and for what has arrived


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bind", default="tcp://127.0.0.1:12345", metavar="ENDPOINT", help="default: %(default)s")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", metavar="URL", help="default: %(default)s")
    parser.add_argument("--prefix", default="zeek:", help="what the streams' names begin with; default: %(default)s")
    parser.add_argument("--length", default=1_000_000, type=int, metavar="N",
                        help="entries that a stream keeps, about; default: %(default)s")
    parser.add_argument("--keep", default=100_000, type=int, metavar="N",
                        help="records to keep while Redis is away; default: %(default)s")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help="beginnings of log paths; default: all")
    return parser.parse_args()


class Bridge:
    def __init__(self, args):
        self.args = args
        self.stop = False
        self.waiting = collections.deque()
        self.passed = self.lost = 0
        self.retry_at = None
        # One try for each command: after a failure, self.waiting still has everything.
        self.redis = redis.Redis.from_url(args.redis, socket_timeout=10, socket_connect_timeout=5)
        self.socket = zmq.Context().socket(zmq.SUB)
        self.socket.set_hwm(10_000)
        # Tells which connections there are, by their descriptors.
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED)
        self.connections = set()
        for topic in args.topics or [""]:
            self.socket.subscribe(topic)
        self.socket.bind(args.bind)

    def receive(self, timeout):
        """Takes what has arrived, up to a batch. Returns False if that was all."""
        if not self.socket.poll(timeout):
            return False
        for _ in range(BATCH):
            try:
                frames = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return False
            if len(frames) != 2:
                continue
            path, records = frames
            # One record, unless the sender sets LogZeroMQ::batch_records.
            for record in records.splitlines():
                if len(self.waiting) >= self.args.keep:
                    self.lost += 1
                else:
                    self.waiting.append((path, record))
        return True

    def look(self):
        """Takes note of connections that have come and gone."""
        while self.monitor.poll(0):
            event = recv_monitor_message(self.monitor)
            if event["event"] == zmq.EVENT_ACCEPTED:
                self.connections.add(event["value"])
                if self.stop:
                    hang_up(event["value"])
            else:
                self.connections.discard(event["value"])

    def drain(self):
        """Ends the connections, so that senders know at once, and takes what has arrived of them."""
        self.look()
        left = set(self.connections)
        for descriptor in left:
            hang_up(descriptor)
        until = time.monotonic() + LAST
        while time.monotonic() < until:
            more = self.receive(5)
            if self.retry_at is None:
                self.pass_on()
            self.look()
            left &= self.connections
            if not more and not left:
                return

    def pass_on(self):
        """Gives Redis the records that wait. Returns False if Redis cannot be reached."""
        while self.waiting:
            batch = [self.waiting[index] for index in range(min(BATCH, len(self.waiting)))]
            try:
                # A transaction: all of the batch is in Redis, or nothing.
                with self.redis.pipeline(transaction=True) as pipeline:
                    for path, record in batch:
                        stream = self.args.prefix.encode() + path
                        pipeline.xadd(stream, {b"json": record}, maxlen=self.args.length, approximate=True)
                    results = pipeline.execute(raise_on_error=False)
            except redis.RedisError as error:
                if self.retry_at is None:
                    print(f"cannot pass on to {self.args.redis}: {error}; trying again", file=sys.stderr, flush=True)
                self.retry_at = time.monotonic() + PAUSE
                return False
            for _ in batch:
                self.waiting.popleft()
            # Redis refuses a record if, for example, its stream's name is taken by something else.
            refused = sum(isinstance(result, Exception) for result in results)
            self.lost += refused
            self.passed += len(batch) - refused
        if self.retry_at is not None:
            print(f"passing on again; {self.lost} records lost so far", file=sys.stderr, flush=True)
            self.retry_at = None
        return True

    def run(self):
        print(f"listening on {self.args.bind}", file=sys.stderr, flush=True)
        while not self.stop:
            self.receive(200)
            if self.retry_at is None or time.monotonic() >= self.retry_at:
                self.pass_on()
            self.look()
        self.drain()
        until = time.monotonic() + LAST
        while not self.pass_on() and time.monotonic() < until:
            time.sleep(PAUSE)
        self.lost += len(self.waiting)
        print(f"passed on {self.passed} records, lost {self.lost}", file=sys.stderr)
        return 1 if self.lost else 0


def hang_up(descriptor):
    """Ends a connection of libzmq's, which still reads what has arrived, and then the end."""
    try:
        # This socket shares the connection, and closes its own descriptor only.
        with socket.socket(fileno=os.dup(descriptor)) as connection:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has ended


def main():
    bridge = Bridge(arguments())

    def on_signal(*_):
        bridge.stop = True

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    return bridge.run()


if __name__ == "__main__":
    sys.exit(main())

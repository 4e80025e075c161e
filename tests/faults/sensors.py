#!/usr/bin/env python3
"""A real collector with 200 sensors, to which things happen in an order that a seed gives: it is ended and
started again, stopped for a while, made to rotate, left without room on its disk or without descriptors, and
visited by connections that say nothing. What its system had acknowledged when it was told to end has to be in
its files, once: "make test-faults".

    sensors.py [--seed N] [--seconds N] [--sensors N]

COLLECTOR in the environment is the bro-zmq to run. A full disk needs root, to mount a small one; without
root it is left out, and a message says so.
"""

import argparse
import fcntl
import gzip
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
COLLECTOR = os.environ.get("COLLECTOR", HERE.parent.parent / "target/debug/bro-zmq")
PATIENCE = 60
# Records a second of all sensors together.
RATE = 6000
LOGS = 10

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL".ljust(55, b"\x00")
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"


class Sensor:
    """A publisher on a plain connection (ZMTP 3.0), which knows what has arrived."""

    def __init__(self, number):
        self.number = number
        self.path = f"log{number % LOGS}".encode()
        self.next = 0
        self.socket = None
        self.first = 0
        self.written = 0
        self.unsent = b""
        self.again = 0
        # The records that have to be in files.
        self.owed = set()

    def frame(self, number):
        body = json.dumps({"s": self.number, "n": f"{number:08d}"}).encode()
        return bytes((1, len(self.path))) + self.path + bytes((0, len(body))) + body

    def connect(self, port):
        # A collector whose backlog is full does not answer.
        if time.monotonic() < self.again:
            return False
        self.socket = socket.socket()
        self.socket.settimeout(0.02)
        try:
            self.socket.connect(("127.0.0.1", port))
            self.socket.sendall(GREETING + READY)
        except OSError:
            return self.lost()
        self.socket.setblocking(False)
        self.greeted = 0
        self.first, self.written, self.unsent = self.next, 0, b""
        return True

    def lost(self):
        self.socket.close()
        self.socket = None
        self.again = time.monotonic() + 0.5
        return False

    def write(self, records):
        """Sends so many more records, as far as the connection takes them."""
        try:
            if self.greeted < 64 + 27 + 3:
                self.greeted += len(self.socket.recv(64 + 27 + 3 - self.greeted))
                return
            while records > 0 or self.unsent:
                if not self.unsent:
                    self.unsent = self.frame(self.next)
                    self.next += 1
                    records -= 1
                sent = self.socket.send(self.unsent)
                self.written += sent
                self.unsent = self.unsent[sent:]
        except BlockingIOError:
            pass
        except OSError:
            self.lost()

    def arrived(self):
        """Adds the records that the collector's system has acknowledged by now to those that are owed."""
        if self.socket is None:
            return
        try:
            waiting = struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, b"\0" * 4))[0]
            # The acknowledgement of a FIN makes no difference here; a failed connection tells nothing.
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                complete = max(0, self.written - waiting) // len(self.frame(0))
                self.owed.update(range(self.first, self.first + complete))
        except OSError:
            pass


class Site:
    def __init__(self, work, sensors, seed):
        self.logs = work / "logs"
        self.logs.mkdir()
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", self.logs], check=False).returncode == 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.stderr = open(work / "stderr", "w+")
        self.sensors = [Sensor(number) for number in range(sensors)]
        self.silent = []
        self.random = random.Random(seed)
        self.collector = None
        self.start()

    def start(self, descriptors=4096):
        self.collector = subprocess.Popen(
            ["prlimit", f"--nofile={descriptors}", COLLECTOR, "subscribe", "--bind", f"tcp://127.0.0.1:{self.port}",
             "--output-dir", self.logs, "--rotate-size", "100K", "--hwm", "1000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.stderr)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                assert self.collector.poll() is None and time.monotonic() < deadline, self.said()
                time.sleep(0.01)

    def said(self):
        self.stderr.seek(0)
        return self.stderr.read()

    def publish(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for sensor in self.sensors:
                if sensor.socket is not None or sensor.connect(self.port):
                    sensor.write(1)
            time.sleep(len(self.sensors) / RATE)

    def end(self, how):
        for sensor in self.sensors:
            sensor.arrived()
        self.collector.send_signal(how)
        deadline = time.monotonic() + PATIENCE
        while self.collector.poll() is None:
            assert time.monotonic() < deadline, "it does not end"
            # Sensors do not know that the collector ends, and go on.
            self.publish(0.05)
        assert self.collector.returncode == 0, (self.collector.returncode, self.said()[-2000:])

    def restarted(self):
        """ended by SIGTERM or Ctrl-C"""
        self.end(self.random.choice((signal.SIGTERM, signal.SIGINT)))
        self.publish(self.random.choice((0, 0.5)))
        self.start()

    def restarted_with_few_descriptors(self):
        """started again with 150 descriptors"""
        self.end(signal.SIGTERM)
        self.start(150)

    def rotated(self):
        """SIGHUP"""
        self.collector.send_signal(signal.SIGHUP)

    def stopped(self):
        """stopped for two seconds"""
        self.collector.send_signal(signal.SIGSTOP)
        self.publish(2)
        self.collector.send_signal(signal.SIGCONT)

    def stopped_and_ended(self):
        """stopped, told to end, and let go on"""
        self.collector.send_signal(signal.SIGSTOP)
        self.publish(1)
        for sensor in self.sensors:
            sensor.arrived()
        self.collector.send_signal(signal.SIGTERM)
        self.publish(0.5)
        self.collector.send_signal(signal.SIGCONT)
        self.end(signal.SIGCONT)
        self.start()

    def full(self):
        """its disk is full for a second"""
        filler = self.logs / "filler"
        with open(filler, "wb", buffering=0) as out:
            try:
                while out.write(bytes(1 << 20)):
                    pass
            except OSError:
                pass
        self.publish(1)
        filler.unlink()

    def visited(self):
        """300 connections that say nothing"""
        for sock in self.silent:
            sock.close()
        self.silent = []
        for _ in range(300):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self.silent.append(sock)

    def check(self):
        found = defaultdict(list)
        files = 0
        # A file that is not finished has a name with a dot in front.
        for file in (file for file in self.logs.iterdir() if file.name.lstrip(".").startswith("log")):
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            files += 1
            assert content.endswith(b"\n") or not content, f"{file.name} ends within a record"
            for line in content.splitlines():
                record = json.loads(line)
                found[record["s"]].append(int(record["n"]))
        owed = total = 0
        for sensor in self.sensors:
            numbers = found[sensor.number]
            total += len(numbers)
            owed += len(sensor.owed)
            missing = sensor.owed.difference(numbers)
            assert not missing, (f"sensor {sensor.number}: {len(missing)} of {len(sensor.owed)} that had arrived are "
                                 f"missing, such as {sorted(missing)[:5]}: {self.said()[-3000:]}")
            assert len(numbers) == len(set(numbers)), f"sensor {sensor.number}: records are there twice"
        return f"{total} records in {files} files, {owed} of which had arrived when it was told to end"

    def close(self):
        if self.collector.poll() is None:
            self.collector.kill()
            self.collector.wait()
        for sock in self.silent:
            sock.close()
        if self.mounted:
            subprocess.run(["umount", "-l", self.logs], check=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sensors", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bzw-sensors-") as work:
        site = Site(Path(work), options.sensors, options.seed)
        try:
            actions = [site.restarted, site.restarted, site.restarted_with_few_descriptors, site.rotated, site.stopped,
                       site.stopped_and_ended, site.visited]
            if site.mounted:
                actions.append(site.full)
            else:
                print("SKIPPED a full disk: only root can mount one")
            print(f"{options.sensors} sensors, seed {options.seed}", flush=True)
            begun = time.monotonic()
            while time.monotonic() - begun < options.seconds:
                site.publish(site.random.uniform(0, 3))
                action = site.random.choice(actions)
                print(f"  {time.monotonic() - begun:5.1f} s: {action.__doc__}", flush=True)
                action()
            site.publish(2)
            site.end(signal.SIGTERM)
            print("ok      a collector with many sensors:", site.check())
        except AssertionError as error:
            print("FAILED  a collector with many sensors:", error)
            return 1
        finally:
            site.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

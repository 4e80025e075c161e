#!/usr/bin/env python3
"""A real cluster on this machine: a manager, a logger, a proxy and two workers. What they log
from captures arrives once and complete, through the logger and past it; and when each node is
killed in turn, what does not need it goes on. With Broker, and with the ZeroMQ backend if the
host has it.

    cluster.py PROGRAM SCRATCH

PROGRAM is the bro or zeek, its environment naming and activating the plugin. Prints a line for
each test and ends with 1 if one of them failed.
"""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import zmq

from captures import same_but_for_digits

HERE = Path(__file__).resolve().parent
CAPTURES = HERE.parent / "data" / "captures"
NODES = {"manager": "MANAGER", "logger": "LOGGER", "proxy": "PROXY", "worker-1": "WORKER", "worker-2": "WORKER"}
WORKERS = [name for name, kind in NODES.items() if kind == "WORKER"]
# What nodes log about themselves and the cluster while it begins and ends.
IGNORED = {"reporter", "loaded_scripts", "packet_filter", "stats", "telemetry", "cluster", "broker"}
PATIENCE = 60
BACKENDS = {"broker": "frameworks/cluster/backend/broker", "zeromq": "frameworks/cluster/backend/zeromq/connect"}
# True for a Bro, and for Zeek 3.0, which has Bro's loop. When such a host goes on after it was suspended, its
# time is today's: every connection of a capture is over by then, and it finds no requests.
HAS_BRO_LOOP = False
# True for Bro 2.5, whose nodes are told which other nodes they belong to, and do not use Broker.
BRO_2_5 = False
# Logs that the captures must make.
LOGS = {"conn", "dns"}
# Records a second from each worker, when nodes are killed.
RATE = 100


class Subscriber(threading.Thread):
    """Notes all messages, with the time when they came."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        self.socket.set_hwm(0)
        self.endpoint = f"tcp://127.0.0.1:{self.socket.bind_to_random_port('tcp://127.0.0.1')}"
        self.socket.subscribe(b"")
        self.messages = []
        self.last = time.monotonic()
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            if self.socket.poll(50):
                topic, record = self.socket.recv_multipart()
                self.messages.append((topic.decode(), record, time.time()))
                self.last = time.monotonic()
        self.socket.close(0)

    def quiet(self, seconds):
        """Waits until nothing has come for so many seconds."""
        while time.monotonic() - self.last < seconds:
            time.sleep(0.1)

    def stop(self):
        self.over.set()
        self.join()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """The nodes of a cluster, each a process in a directory of its own."""

    def __init__(self, name, backend, way, *arguments, captures=()):
        self.work = SCRATCH / f"cluster-{name}-{backend}-{way}"
        self.subscriber = Subscriber()
        self.captures = dict(zip(WORKERS, captures))
        self.arguments = [
            str(HERE / "cluster.zeek"), "NCSA/ZeroMQWriter", f"LogZeroMQ::endpoint={self.subscriber.endpoint}",
            f"LogZeroMQ::cluster={way}", "LogZeroMQ::wait_for_subscriber=10sec", "LogAscii::use_json=T",
            "Log::default_rotation_interval=0sec", "Cluster::retry_interval=1sec", *arguments]
        self.processes = {}
        ports = dict(zip(NODES, free_ports(len(NODES))))
        self.layout = "redef Cluster::manager_is_logger = F;\nredef Cluster::nodes += {\n" + "".join(
            f'\t["{node}"] = [$node_type=Cluster::{kind}, $ip=127.0.0.1, $p={ports[node]}/tcp'
            + (', $manager="manager"' if kind != "MANAGER" else "")
            + (', $logger="logger"' if BRO_2_5 and kind != "LOGGER" else "")
            + (', $proxy="proxy"' if BRO_2_5 and kind == "WORKER" else "") + "],\n"
            for node, kind in NODES.items()) + "};\n"
        if has(backend):
            self.arguments.insert(0, BACKENDS[backend])
        if backend == "zeromq":
            xsub, xpub = (f'"tcp://127.0.0.1:{port}"' for port in free_ports(2))
            module = "Cluster::Backend::ZeroMQ::"
            self.arguments += ["-e", "".join(f"redef {module}{name} = {value}; " for name, value in (
                ("listen_xsub_endpoint", xsub), ("listen_xpub_endpoint", xpub),
                ("connect_xpub_endpoint", xsub), ("connect_xsub_endpoint", xpub)))]
        try:
            for node in NODES:
                self.start(node)
            for worker in WORKERS:
                self.wait_for(worker, "goes on")
        except AssertionError:
            self.abandon()
            raise

    def start(self, node):
        directory = self.work / node
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cluster-layout.zeek").write_text(self.layout)
        (directory / "cluster-layout.bro").write_text(self.layout)
        capture = ["-C", "-r", str(self.captures[node])] if node in self.captures else []
        with open(directory / "out", "a") as out:
            self.processes[node] = subprocess.Popen(
                [PROGRAM, *capture, *self.arguments], cwd=directory, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, "CLUSTER_NODE": node, "ZEEK_DNS_FAKE": "1", "BRO_DNS_FAKE": "1"})

    def said(self, node):
        return (self.work / node / "out").read_text(errors="replace")

    def wait_for(self, node, text, times=1):
        deadline = time.monotonic() + PATIENCE
        while self.said(node).count(text) < times:
            assert self.processes[node].poll() is None, f"{node} has ended: {self.said(node)[-2000:]}"
            assert time.monotonic() < deadline, f"{node} has not said {text!r}: {self.said(node)[-2000:]}"
            time.sleep(0.1)

    def kill(self, node):
        self.processes[node].kill()
        self.processes[node].wait()

    def end(self):
        """Ends all nodes, those first that others hear from; returns the messages that came."""
        wrong = []
        for node in (*WORKERS, "proxy", "manager", "logger"):
            process = self.processes[node]
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                status = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                status = "none"
            if status != 0:
                wrong.append(f"{node}: exit status {status}: {self.said(node)[-500:]}")
            time.sleep(0.5)
        self.subscriber.quiet(1)
        self.subscriber.stop()
        assert not wrong, wrong
        return self.subscriber.messages

    def abandon(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def sorted_by_path(messages):
    logs = {}
    for topic, record, _ in messages:
        logs.setdefault(topic, []).append(record)
    return logs


def identity(record):
    """Returns time and uid of a record, to compare where a Bro writes numbers and texts in another form."""
    record = json.loads(record)
    return record["ts"], record.get("uid")


def numbers(messages):
    """The numbers of each worker's records, in the order of their arrival."""
    found = {}
    for topic, record, _ in messages:
        if topic.endswith("numbers"):
            record = json.loads(record)
            found.setdefault(record["node"], []).append(record["n"])
    return found


def captures(backend, way):
    """Every record arrives once, as it is in the logger's files."""
    cluster = Cluster("captures", backend, way, "LogZeroMQ::topic=%sensor/%path", "LogZeroMQ::zmq_hwm=0",
                      captures=(CAPTURES / "web.pcap", CAPTURES / "dns.pcap"))
    try:
        time.sleep(3)
        cluster.subscriber.quiet(4)
        messages = cluster.end()
    finally:
        cluster.abandon()
    nodes = {topic.partition("/")[0] for topic, _, _ in messages}
    if way == "workers":
        assert nodes <= set(NODES) and set(WORKERS) <= nodes, nodes
        assert {topic for topic, _, _ in messages if topic.endswith("/http")} == (
            {"worker-1/http"} if "http" in LOGS else set()), nodes
    else:
        assert nodes == {socket.gethostname()}, nodes
    sent = sorted_by_path((topic.partition("/")[2], record, when) for topic, record, when in messages)
    files = {file.stem: file.read_bytes().splitlines() for file in (cluster.work / "logger").glob("*.log")}
    assert LOGS <= set(files), files.keys()
    count = 0
    for path in (set(sent) | set(files)) - IGNORED:
        # The records of the workers may reach the logger and the subscriber in different orders.
        ours, theirs = sorted(sent.get(path, [])), sorted(files.get(path, []))
        count += len(ours)
        if way == "workers" and HAS_BRO_LOOP:
            # At its end a Bro's worker loses what it has not handed to the logger: only what is in the files must come.
            theirs = list((Counter(map(identity, theirs)) - Counter(map(identity, ours))).elements())
            assert not theirs, f"{path}: these are in the logger's file and have not come: {theirs[:3]}"
            continue
        assert len(ours) == len(theirs), f"{path}: {len(ours)} records came, {len(theirs)} are in the logger's file"
        for sent_one, written in zip(ours, theirs):
            assert same_but_for_digits(sent_one, written), f"{path}:\n  sent    {sent_one!r}\n  in file {written!r}"
    return f"{count} records of {len(sent)} logs"


def killed(backend, way):
    """Kills each node in turn: what does not need it goes on, and loses nothing."""
    cluster = Cluster("killed", backend, way, f"ClusterTest::rate={RATE}.0")
    try:
        time.sleep(3)
        told = []
        for node in ("manager", "proxy", "logger", "worker-1"):
            cluster.kill(node)
            time.sleep(3)
            still = time.monotonic() - cluster.subscriber.last < 2
            assert still or (node == "logger" and way == "logger"), f"nothing comes when the {node} is gone"
            goes_on = [cluster.said(worker).count("goes on") for worker in WORKERS]
            cluster.start(node)
            if node in WORKERS:
                cluster.wait_for(node, "goes on", goes_on[WORKERS.index(node)] + 1)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() - cluster.subscriber.last > 1:
                assert time.monotonic() < deadline, f"nothing comes when the {node} is back"
                time.sleep(0.1)
            time.sleep(2)
        messages = cluster.end()
    except AssertionError:
        cluster.abandon()
        raise
    came = numbers(messages)
    assert set(came) == set(WORKERS), came.keys()
    for worker, found in came.items():
        # A worker that was killed begins again.
        runs, last = [[]], -1
        for number in found:
            if number < last and number == 0:
                runs.append([])
            runs[-1].append(number)
            last = number
        assert len(runs) == (2 if worker == "worker-1" else 1), (worker, len(runs))
        for run in runs:
            assert run == sorted(set(run)), f"{worker}: out of order, or twice"
            missing = run[-1] + 1 - len(run)
            told.append(f"{worker}: {len(run)} records, {missing} missing")
            assert way == "logger" or missing == 0, told
    return "; ".join(told)


@functools.cache
def has(backend):
    """Returns True if the host has the backend's script. (Hosts before Zeek 9 use Broker without one.)"""
    return subprocess.run([PROGRAM, "--parse-only", "-e", f"@load {BACKENDS[backend]}"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, timeout=PATIENCE).returncode == 0


def main():
    failed = 0
    backends = ["broker"]
    if has("zeromq"):
        backends.append("zeromq")
    else:
        print("SKIPPED the ZeroMQ backend: this host does not have it")
    for backend in backends:
        for test in captures, killed:
            for way in "logger", "workers":
                name = f"{test.__name__}, {'no Broker' if BRO_2_5 else backend}, {way}"
                why = None
                if HAS_BRO_LOOP and test is captures and way == "logger":
                    why = "a Bro's logger loses first records of logs, in its files too"
                elif BRO_2_5 and test is captures:
                    why = "a Bro 2.5 that is suspended connects to nobody"
                if why:
                    print(f"SKIPPED {name}: {why}")
                    continue
                try:
                    print(f"ok      {name}: {test(backend, way)}", flush=True)
                except AssertionError as error:
                    failed += 1
                    print(f"FAILED  {name}: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    PROGRAM, SCRATCH = sys.argv[1], Path(sys.argv[2])
    VERSION = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    HAS_BRO_LOOP = Path(PROGRAM).name == "bro" or b"version 3.0" in VERSION
    BRO_2_5 = b"version 2.5" in VERSION
    if not HAS_BRO_LOOP:
        LOGS.add("http")
    sys.exit(main())

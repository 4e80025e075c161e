#!/usr/bin/env python3
"""A real host with default options, and a pyzmq subscriber that keeps up: every record arrives, in
order, at every rate and in bursts of every size, of one log and of many; and none waits for the
host's buffer to fill.

    bursts.py PROGRAM SCRATCH

PROGRAM is the bro or zeek, its environment naming and activating the plugin.
"""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import zmq

# Logs, records of each in a burst, bursts, and seconds from one burst to the next.
CASES = [
    (1, 1, 50, 0.1),
    (1, 1, 3000, 0.001),
    (1, 10, 3000, 0.001),
    (1, 50, 3000, 0.001),
    (1, 1000, 30, 0.1),
    (1, 10_000, 10, 0.2),
    (1, 100_000, 2, 3.0),
    (40, 1, 500, 0.004),
    (40, 1000, 2, 2.0),
    (40, 2500, 2, 4.0),
]

# The highest median age, in seconds, of records that come every 0.1 s. If they waited for the host's buffer,
# which it fills for up to a second, more than half would be older.
YOUNG = 0.25

SCRIPT = """
module Bursts;

export {{
    redef enum Log::ID += {{ {ids} }};
    type Info: record {{
        ts: time &log;
        n: count &log;
        text: string &log;
    }};
    global go_on: event();
    global stop: event();
}}

redef exit_only_after_terminate = T;
{wakes}

global begun: time;
global bursts = 0;
global n = 0;

event Bursts::stop()
    {{
    terminate();
    }}

event Bursts::go_on()
    {{
    while ( bursts < {bursts} && interval_to_double(current_time() - begun) >= bursts * {every} )
        {{
        ++bursts;
        local i = 0;
        while ( i < {size} )
            {{
            {writes}
            ++n;
            ++i;
            }}
        }}

    if ( bursts < {bursts} )
        schedule 1msec {{ Bursts::go_on() }};
    else
        schedule 2sec {{ Bursts::stop() }};
    }}

event {init}() &priority=5
    {{
    {streams}
    }}

event {init}() &priority=-2000000
    {{
    begun = current_time() + 1sec;
    schedule 1100msec {{ Bursts::go_on() }};
    # The writers are there then.
    {writes}
    ++n;
    }}
"""

# Without packets or peers a Bro sleeps for 100 ms in each round of its loop, so it listens for peers.
# Bro 2.6, which has Option::set, does so in another way than 2.5.
WAKES = """
@ifdef ( Option::set )
event bro_init() { Broker::listen("127.0.0.1", 0/tcp); }
@else
event bro_init() { enable_communication(); }
@endif
"""

TOTALS = re.compile(r"(\d+) records? written, (\d+) sent \(\d+ bytes\)(?:, (\d+) dropped)?")
RECORD = re.compile(rb'\{"ts":([0-9.]+),"n":(\d+),')


def script(bro, logs, size, bursts, every):
    ids = [f"L{number}" for number in range(logs)]
    return SCRIPT.format(
        ids=", ".join(ids), size=size, bursts=bursts, every=f"{every:.3f}", init="bro_init" if bro else "zeek_init",
        wakes=WAKES if bro else "",
        writes="\n            ".join(
            f'Log::write(Bursts::{name}, [$ts=current_time(), $n=n, $text="CHhAvVGS1DHFjwGM9 and more"]);'
            for name in ids),
        streams="\n    ".join(f'Log::create_stream(Bursts::{name}, [$columns=Info, $path="bursts{number}"]);'
                              for number, name in enumerate(ids)))


class Subscriber(threading.Thread):
    """Notes how many records of each log came, how old they were, and what came out of order."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = zmq.Context.instance().socket(zmq.SUB)
        port = self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.socket.subscribe(b"bursts")
        self.next = {}
        self.ages = []
        self.wrong = []
        self.stop = threading.Event()

    def run(self):
        while not self.stop.is_set():
            if not self.socket.poll(100):
                continue
            path, record = self.socket.recv_multipart()
            now = time.time()
            ts, n = RECORD.match(record).groups()
            expected = self.next.get(path, 0)
            if int(n) != expected and len(self.wrong) < 3:
                self.wrong.append(f"{path.decode()}: {int(n)} instead of {expected}")
            self.next[path] = int(n) + 1
            self.ages.append(now - float(ts))
        self.socket.close(0)


def run(program, scratch, logs, size, bursts, every):
    work = scratch / f"bursts-{logs}-{size}-{bursts}"
    work.mkdir(parents=True)
    (work / "bursts.zeek").write_text(script(Path(program).name == "bro", logs, size, bursts, every))
    subscriber = Subscriber()
    subscriber.start()
    with open(work / "out", "w") as out:
        code = subprocess.run(
            [program, "-b", "bursts.zeek", *(["base/frameworks/broker"] if Path(program).name == "bro" else []),
             "NCSA/ZeroMQWriter", f"LogZeroMQ::endpoint={subscriber.endpoint}"],
            cwd=work, stdout=out, stderr=subprocess.STDOUT, timeout=120).returncode
    # On a busy machine the subscriber may not be done yet.
    before = -1
    while before < len(subscriber.ages) < (size * bursts + 1) * logs:
        before = len(subscriber.ages)
        time.sleep(2)
    subscriber.stop.set()
    subscriber.join()
    said = (work / "out").read_text()
    expected = size * bursts + 1
    problems = list(subscriber.wrong)
    if code != 0:
        problems.append(f"exit status {code}: {said[-1000:]}")
    found = [tuple(int(number or 0) for number in numbers) for numbers in TOTALS.findall(said)]
    if found != [(expected, expected, 0)] * logs:
        problems.append(f"the totals are not {expected} written and sent, none dropped: {said[-1000:]}")
    short = {path.decode(): count for path, count in subscriber.next.items() if count != expected}
    if short or len(subscriber.next) != logs:
        problems.append(f"{len(subscriber.next)} logs came, and of these not {expected} records: {short}")
    ages = sorted(subscriber.ages) or [0.0]
    median = ages[len(ages) // 2]
    if every >= 0.1 and size == 1 and median > YOUNG:
        problems.append(f"half of the records were older than {median:.3f} s")
    line = (f"{logs} logs, {size} records of each at once, {bursts} times, every {every} s: "
            f"{len(subscriber.ages)} of {expected * logs} arrived, half of them within {median * 1000:.1f} ms, "
            f"99 % within {ages[int(len(ages) * 0.99)] * 1000:.1f} ms")
    return not problems, "; ".join([line, *problems])


def main():
    program, scratch = sys.argv[1], Path(sys.argv[2])
    failed = 0
    for case in CASES:
        passed, line = run(program, scratch, *case)
        failed += not passed
        print(("ok      " if passed else "FAILED  ") + line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""A real host whose pyzmq subscriber is late, killed or stopped, with and without a spool.

    delivery.py PROGRAM SCRATCH

PROGRAM is the bro or zeek, its environment naming and activating the plugin. The subscriber, and
the check of the numbers that it gets, are those of tests/faults.
"""

import concurrent.futures
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "faults"))
import run as faults  # noqa: E402 (found by the line above)

RECORDS = 60_000
TOTALS = re.compile(
    r"(\d+) records? written, (\d+) sent \(\d+ bytes\)(?:, (\d+) dropped \(.*?\))?"
    r"(?:; in the spool(?: before: (\d+))?,?(?: now: (\d+))?)?")


class Host(faults.Case):
    """The fault tests' processes, with a host in the place of their sender."""

    def __init__(self, program, directory, mode):
        super().__init__(directory, mode)
        self.directory.mkdir()
        self.program = program

    def host(self, **globals_of_the_test):
        """Starts the host; returns its process and the file with what it says."""
        self.senders += 1
        work = self.directory / f"host{self.senders}"
        work.mkdir(parents=True)
        settings = {f"LogZeroMQ::{name}": value for name, value in self.options().items()}
        settings |= {f"HostTest::{name}": value for name, value in globals_of_the_test.items()}
        args = [self.program, "-b", HERE / "numbers.zeek", "NCSA/ZeroMQWriter",
                "-e", "redef LogZeroMQ::send_logs += { HostTest::NUMBERS };",
                f"LogZeroMQ::endpoint={self.endpoint}", *(f"{name}={value}" for name, value in settings.items())]
        with open(work / "out", "w") as out:
            process = subprocess.Popen(args, cwd=work, stdout=out, stderr=subprocess.STDOUT)
        self.processes.append(process)
        return process, work / "out"

    def written(self):
        return RECORDS

    def finish(self, host, **facts):
        """Waits for the host's end. With a spool, its next run sends what is left."""
        lost, spooled = totals(host)
        if spooled and self.subscribers:
            again, spooled = totals(self.host(how_many=0))
            lost += again
        if self.subscribers:
            self.await_quiet()
        return faults.Result(self, lost + spooled, lossless=self.mode != faults.NONE and not spooled, **facts)


def totals(host):
    """Waits for a host's end; returns how many records its writer lost, and left in the spool."""
    process, out = host
    code = process.wait(180)
    said = out.read_text()
    assert code == 0, f"exit status {code}: {said}"
    found = TOTALS.findall(said)
    assert len(found) == 1, said
    written, sent, lost, before, spooled = (int(number or 0) for number in found[0])
    assert written + before == sent + lost + spooled, said
    return lost, spooled


def up(case):
    """the subscriber is up all the time"""
    case.subscribe()
    return case.finish(case.host())


def late(case):
    """the subscriber comes 2 s late"""
    host = case.host()
    time.sleep(2)
    case.subscribe()
    return case.finish(host)


def killed(case):
    """the subscriber is killed (-9) and restarted 1.5 s later"""
    subscriber = case.subscribe()
    host = case.host()
    case.await_records(20_000)
    subscriber.kill()
    subscriber.wait()
    taken = max(case.received())
    time.sleep(1.5)
    case.subscribe()
    # At most a second's records were on their way to the process that was killed. Some of them were in the
    # network's buffers, which the host's count estimates.
    return case.finish(host, accepted_before=taken + 10_000, estimated=case.mode == faults.NONE)


def stopped(case):
    """the subscriber is stopped (SIGSTOP) for 4 s"""
    subscriber = case.subscribe()
    host = case.host()
    case.await_records(10_000)
    subscriber.send_signal(signal.SIGSTOP)
    time.sleep(4)
    subscriber.send_signal(signal.SIGCONT)
    return case.finish(host)


def never(case):
    """no subscriber ever comes"""
    return case.finish(case.host())


def run(program, scratch, test, mode):
    case = Host(program, scratch / f"delivery-{test.__name__}-{mode.replace(' ', '-')}", mode)
    try:
        result = test(case)
        return not result.problems, f"{test.__doc__}, {mode}: {result}"
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return False, f"{test.__doc__}, {mode}: {error}"
    finally:
        case.close()


def main():
    program, scratch = sys.argv[1], Path(sys.argv[2])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        outcomes = [
            pool.submit(run, program, scratch, test, mode)
            for test in (up, late, killed, stopped, never)
            for mode in (faults.NONE, faults.SPOOL)
        ]
    failed = 0
    for outcome in outcomes:
        passed, line = outcome.result()
        failed += not passed
        print(("ok      " if passed else "FAILED  ") + line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

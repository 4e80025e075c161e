#!/usr/bin/env python3
"""The options that change what is sent, on a real host, compared with the host's own files.

    options.py PROGRAM MODERN SCRATCH README

PROGRAM is the bro or zeek, its environment naming and activating the plugin; MODERN is 1 if
its own JSON is that of Zeek 4.2 and later (else only what does not depend on that is
compared); README is the manual whose configurations are run. Prints a line for each test and
ends with 1 if one of them failed.
"""

import glob
import json
import os
import re
import socket
import subprocess
import sys

import zmq
import zmq.auth

import captures

HERE = os.path.dirname(os.path.abspath(__file__))
RECORDS = os.path.join(HERE, "records.zeek")
WEB = os.path.join(captures.CAPTURES, "web.pcap")
DNS = os.path.join(captures.CAPTURES, "dns.pcap")


class Run:
    """One run of the host: what it said, sent and wrote."""

    def __init__(self, name, arguments, receivers=1, keys=None, frames=2):
        self.work = os.path.join(SCRATCH, "options-" + name)
        os.makedirs(self.work)
        context = zmq.Context()
        endpoints = ["ipc://" + os.path.join(self.work, "socket%d" % number) for number in range(receivers)]
        subscribers = [captures.Subscriber(context, endpoint, keys) for endpoint in endpoints]
        for subscriber in subscribers:
            subscriber.start()
        # Each log is to wait for its subscriber, however slow the machine is.
        host = subprocess.run(
            [PROGRAM, "LogZeroMQ::wait_for_subscriber=20sec", *arguments(*endpoints)], cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=300, check=False, env={**os.environ, "ZEEK_DNS_FAKE": "1", "BRO_DNS_FAKE": "1"})
        for subscriber in subscribers:
            subscriber.over.set()
            subscriber.join()
        context.destroy(0)
        self.said = host.stdout.decode(errors="replace")
        assert host.returncode == 0, "exit status %d: %s" % (host.returncode, self.said)
        others = [subscriber.records if frames == 1 else subscriber.malformed for subscriber in subscribers]
        assert not any(others), "messages that have not %d" % frames
        self.alone = sorted(subscribers[0].alone)
        self.received = [subscriber.records for subscriber in subscribers]
        self.sent = self.received[0]

    def file(self, path):
        """The lines of a log's file."""
        with open(os.path.join(self.work, path + ".log"), "rb") as log:
            return log.read().splitlines()

    def files(self):
        return {os.path.basename(name)[:-4] for name in glob.glob(os.path.join(self.work, "*.log"))}

    def quiet(self):
        """Asserts that there was no message but the writers' totals, and what a host says of a function of its own."""
        said = [line for line in self.said.splitlines()
                if not re.search(" records? written, |non-void function return(s|ing) without a value: Log::", line)]
        assert not said, said


def same(ours, theirs, what):
    assert theirs, what + ": the host wrote nothing"
    assert len(ours) == len(theirs), "%s: %d records sent, %d in the file" % (what, len(ours), len(theirs))
    for sent, written in zip(ours, theirs):
        assert captures.same_but_for_digits(sent, written), "%s:\n  sent    %r\n  in file %r" % (what, sent, written)


def script(code):
    """A script of this code, with the name of the event that the host raises at its start."""
    name = os.path.join(SCRATCH, "script-%d.zeek" % len(glob.glob(os.path.join(SCRATCH, "script-*"))))
    with open(name, "w", encoding="utf-8") as file:
        file.write(code.replace("zeek_init", INIT))
    return name


def records(*arguments, code=""):
    """Arguments for a host that writes the records of records.zeek, with the plugin's filters."""
    return lambda endpoint: [
        "-b", RECORDS, "NCSA/ZeroMQWriter", "LogZeroMQ::endpoint=" + endpoint, *arguments, script(code)]


def filters_of_every_kind():
    """Pairs of filters with the same options, one of the host's JSON writer and one of ours."""
    run = Run("formats", lambda endpoint: [
        "-b", os.path.join(HERE, "formats.zeek"), "Formats::endpoint=" + endpoint])
    run.quiet()
    names = sorted(path[len("sent_"):] for path in run.sent)
    assert len(names) >= 9, names
    for name in names:
        sent = run.sent["sent_" + name]
        if MODERN:
            written = run.file("file_" + name)
            if name == "millis" and "unsigned" not in names:
                # A host without TS_MILLIS_UNSIGNED writes -1.5 seconds as an unsigned number in any case.
                written = [line.replace(b"18446744073709550116", b"-1500") for line in written]
            same(sent, written, name)
        for record in sent:
            json.loads(record)
    assert b'"source \\"address\\"":"192.0.2.1"' in run.sent["sent_names"][0], run.sent["sent_names"][0]
    assert b'"id__resp_h":"2001:db8::1"' in run.sent["sent_names"][0], run.sent["sent_names"][0]
    assert run.sent["sent_more"][0].startswith(b'{"where":"s1","x-at":1.5,"ts":'), run.sent["sent_more"][0]
    return len(names)


EXTENSION = (
    "module Defaults; export { type Extension: record { sensor: string &log; }; } "
    "function extension(path: string): Extension { return Extension($sensor=path); } "
    "redef Log::default_ext_func = extension; redef Log::default_ext_prefix = \"@\"; "
    "redef Log::default_scope_sep = \"_\"; "
    "redef Log::default_field_name_map = table([\"ts\"] = \"time\", [\"@sensor\"] = \"log\"); ")


def defaults_of_all_filters():
    """The host's options for all filters, and its JSON options as options of the script."""
    run = Run("defaults", records(
        "LogAscii::use_json=T", "LogAscii::json_include_unset_fields=T", "LogZeroMQ::json_include_unset_fields=T",
        code=EXTENSION + "redef LogAscii::json_timestamps = JSON::TS_ISO8601; "
        "redef LogZeroMQ::json_timestamps = JSON::TS_ISO8601;"))
    run.quiet()
    record = run.sent["hosttest"][0]
    assert record.startswith(b'{"log":"hosttest","time":"2023-11-14T22:13:19.123456Z","yes":true,'), record
    assert b'"id_orig_h":' in record and b'"unset":null' in record, record
    if MODERN:
        same(run.sent["hosttest"], run.file("hosttest"), "hosttest")
        same(run.sent["other"], run.file("other"), "other")


def escape_policies():
    """Escape policies as options of the script, where hosts before Zeek 9 have a string."""
    for policy, text in (("PUA", b'latin\\udb80\\udce9"'), ("TSV", b'"tab\\\\x09 quote\\" percent%s latin\\\\xe9"')):
        name = "JSON::STRING_ESCAPE_POLICY_" + policy
        run = Run("policy-" + policy, records(code=(
            "@ifdef ( JSON::StringEscapePolicy )\nredef LogZeroMQ::json_string_escape_policy = %s;\n"
            "redef LogAscii::json_string_escape_policy = %s;\nredef LogAscii::use_json = T;\n"
            "@else\nredef LogZeroMQ::json_string_escape_policy = \"%s\";\n@endif\n" % (name, name, name))))
        run.quiet()
        assert text in run.sent["hosttest"][0], run.sent["hosttest"][0]
        if run.file("hosttest")[0].startswith(b"{"):
            same(run.sent["hosttest"], run.file("hosttest"), policy)


def followed_filters():
    """Messages are the lines in the files, whatever the default filters are."""
    run = Run("follow", lambda endpoint: records(
        os.path.join(HERE, "follow.zeek"), "LogZeroMQ::follow_default_filter=T", "LogAscii::use_json=T",
        "HostTest::how_many=4")(endpoint))
    run.quiet()
    assert "hosttest" not in run.sent, run.sent.keys()
    same(run.sent["followed"], run.file("followed"), "followed")
    assert run.sent["followed"] == [
        b'{"@sensor":"s1","yes":true,"id_orig_h":"192.168.0.1","number":%d}' % number for number in (0, 2)
    ], run.sent["followed"]
    same(run.sent["other"], run.file("other"), "other")
    assert run.sent["other"][0] == b'{"resp_p":53}', run.sent["other"]

    # Without the option, the filters are not followed.
    run = Run("not-followed", lambda endpoint: records(
        os.path.join(HERE, "follow.zeek"), "LogAscii::use_json=T")(endpoint))
    run.quiet()
    assert run.sent["other"][0] == b'{"orig_h":"10.0.0.1","resp_p":53}', run.sent["other"]
    assert len(run.sent["hosttest"]) == 2 and "followed" not in run.sent, run.sent.keys()


def followed_filters_of_the_host():
    """All that the host logs from a capture follows the default filters; Zeek 8's ssl.log leaves columns out."""
    for capture in ("tls.pcap", "mail.pcap", "dns.pcap"):
        wrong, count, _ = captures.run(
            PROGRAM, MODERN, SCRATCH, os.path.join(captures.CAPTURES, capture), "follow-",
            ["LogZeroMQ::follow_default_filter=T"])
        assert not wrong and count > 0, (capture, wrong)


def late_logs():
    """Logs that are created or enabled at any time are sent with all their records. If a host before Zeek
    3.1 follows default filters, the records begin after the handler that has created the log."""
    def late(*arguments):
        return lambda endpoint: ["-b", os.path.join(HERE, "late.zeek"), "NCSA/ZeroMQWriter",
                                 "LogZeroMQ::endpoint=" + endpoint, "LogAscii::use_json=T", *arguments]

    logs = {"start", "end", "event", "again", "enabled"}
    # Bro 2.5 keeps the filters of a removed log, so nobody can see that the log is there again.
    unseen = set() if FORGETS_FILTERS else {"again"}
    logs -= unseen
    run = Run("late", late())
    run.quiet()
    assert set(run.sent) == logs, run.sent.keys()
    for path in logs:
        same(run.sent[path], run.file(path), path)
        assert len(run.sent[path]) == (1 if path == "enabled" else 2), (path, run.sent[path])

    # The log follows the default filter, which the handler changes before it writes.
    run = Run("late-follow", late("LogZeroMQ::follow_default_filter=T", "Late::changes=T"))
    run.quiet()
    assert set(run.sent) == logs, run.sent.keys()
    for path in logs - {"enabled"}:
        assert run.file(path)[0] == b'{"number":1}', run.file(path)
        same(run.sent[path], run.file(path)[0 if FOLLOWS_AT_ONCE else 1:], path)

    run = Run("late-only", late("LogZeroMQ::only_zeromq=T"))
    run.quiet()
    assert set(run.sent) == logs, run.sent.keys()
    # Records written before the default filters are muted are in files, too.
    at_once = set() if FOLLOWS_AT_ONCE else logs - {"enabled"}
    assert run.files() == {"start", "excluded"} | at_once | unseen, run.files()
    assert all(len(run.file(path)) == 1 for path in run.files() - {"excluded"} - unseen), run.files()


def no_files():
    """only_zeromq: the files of what is sent are gone, those of other logs are there."""
    run = Run("only", records("LogZeroMQ::only_zeromq=T", code="redef LogZeroMQ::send_logs += { HostTest::LOG };"))
    run.quiet()
    assert len(run.sent["hosttest"]) == 2 and "other" not in run.sent, run.sent.keys()
    assert "other" in run.files() and "hosttest" not in run.files(), run.files()

    run = Run("only-capture", lambda endpoint: [
        "-C", "-r", WEB, "NCSA/ZeroMQWriter", "LogZeroMQ::endpoint=" + endpoint, "LogZeroMQ::only_zeromq=T",
        "LogZeroMQ::zmq_hwm=0"])
    assert {"conn", "http"} <= set(run.sent), run.sent.keys()
    assert not run.files(), run.files()

    # A default filter is followed first, and then removed.
    run = Run("only-follow", lambda endpoint: records(
        os.path.join(HERE, "follow.zeek"), "LogZeroMQ::only_zeromq=T", "LogZeroMQ::follow_default_filter=T")(endpoint))
    run.quiet()
    assert run.sent["other"][0] == b'{"resp_p":53}' and "followed" in run.sent, run.sent
    assert not run.files(), run.files()

    # Without an endpoint nothing is sent, and so everything is written.
    run = Run("only-nowhere", lambda _: ["-b", RECORDS, "NCSA/ZeroMQWriter", "LogZeroMQ::only_zeromq=T"])
    run.quiet()
    assert {"hosttest", "other"} <= run.files(), run.files()


def fields_topics_tags():
    """extra_fields, topic, sensor and tag_json: of the script, and of a filter."""
    table = r'redef LogZeroMQ::extra_fields += { ["site"] = "Z\xc3\xbcrich, \"x\"=1", ["a\\b"] = "" };'
    run = Run("extra", records("LogZeroMQ::topic=%sensor/%path", "LogZeroMQ::sensor=Zürich", "LogZeroMQ::tag_json=T", code=table))
    run.quiet()
    assert set(run.sent) == {"Zürich/hosttest", "Zürich/other"}, run.sent.keys()
    expected = '{"other":{"orig_h":"10.0.0.1","resp_p":53,"a\\\\b":"","site":"Zürich, \\"x\\"=1"}}'.encode()
    assert run.sent["Zürich/other"] == [expected] * 2, run.sent["Zürich/other"]

    run = Run("extra-filter", records(code=table + (
        r'event zeek_init() &priority=-10 { Log::add_filter(HostTest::OTHER, [$name="own", $writer=Log::WRITER_ZEROMQ,'
        r' $interv=0sec, $path="own", $config=table(["topic"] = "%path@%sensor%%",'
        r' ["extra_fields"] = "site=a\\,b, x=y", ["tag_json"] = "T")]); }')))
    run.quiet()
    assert run.sent["other"][0].endswith('"a\\\\b":"","site":"Zürich, \\"x\\"=1"}'.encode()), run.sent["other"]
    own = run.sent["own@%s%%" % socket.gethostname()]
    assert own == [b'{"own":{"orig_h":"10.0.0.1","resp_p":53,"site":"a,b","x":"y"}}'] * 2, own

    # A column wins over an extra field of its name.
    run = Run("extra-column", records(code='redef LogZeroMQ::extra_fields += { ["resp_p"] = "x", ["z"] = "1" };'))
    assert run.sent["other"][0] == b'{"orig_h":"10.0.0.1","resp_p":53,"z":"1"}', run.sent["other"]
    assert 'the extra field "resp_p" is left out of the log "other"' in run.said, run.said


def one_frame():
    """frames, and what extra_fields say then of the log: of the script, and of a filter."""
    table = 'redef LogZeroMQ::extra_fields += { ["_path"] = "%path", ["s"] = "%sensor 100%%" };'
    # Bro takes an empty text from scripts only.
    table += ' redef LogZeroMQ::topic = "";'
    run = Run("one-frame", records("LogZeroMQ::frames=one", "LogZeroMQ::sensor=s1", code=table), frames=1)
    run.quiet()
    other = b'{"orig_h":"10.0.0.1","resp_p":53,"_path":"other","s":"s1 100%"}'
    assert run.alone.count(other) == 2, run.alone
    assert all(b'"_path":"hosttest","s":"s1 100%"}' in message for message in run.alone if message != other), run.alone

    run = Run("one-frame-filter", records(code=(
        'redef LogZeroMQ::frames = "one"; event zeek_init() &priority=-10 { Log::add_filter(HostTest::OTHER, [$name="own",'
        ' $writer=Log::WRITER_ZEROMQ, $interv=0sec, $path="own", $config=table(["topic"] = "own topic")]); }')), frames=1)
    run.quiet()
    other = b'{"orig_h":"10.0.0.1","resp_p":53}'
    for head in (b"other ", b"own topic "):
        assert run.alone.count(head + other) == 2, run.alone


def a_bad_value():
    """A bad value costs its filter only, and the message names option, value and what is allowed."""
    for option, value, part in (
            ("topic", "%paht", "use %path, %sensor, or %%"), ("extra_fields", "site", "write name=value"),
            ("frames", "three", "use two (topic, JSON) or one"),
            ("tag_json", "maybe", "use T or F"), ("json_timestamps", "TS_EPOCH", "JSON::TS_EPOCH"),
            ("json_string_escape_policy", "HEX", "JSON::STRING_ESCAPE_POLICY_HEX")):
        run = Run("bad-" + option, records(code=(
            'event zeek_init() &priority=-10 { Log::add_filter(HostTest::OTHER, [$name="own", $path="own",'
            ' $writer=Log::WRITER_ZEROMQ, $interv=0sec, $config=table(["%s"] = "%s")]); }' % (option, value))))
        assert '$config["%s"] = "%s"' % (option, value) in run.said and part in run.said, run.said
        assert len(run.sent["other"]) == 2 and len(run.sent["hosttest"]) == 2 and "own" not in run.sent, run.sent
        assert len(run.file("other")) >= 2


def encryption():
    """Keys as options of the script and of a filter; a wrong one, and a file that others can read."""
    keys = os.path.join(SCRATCH, "keys")
    os.makedirs(keys)
    for name in "sensor", "collector", "other":
        zmq.auth.create_certificates(keys, name)
        os.chmod(os.path.join(keys, name + ".key_secret"), 0o600)

    def key(name):
        return os.path.join(keys, name)

    given = "LogZeroMQ::curve_secret_key_file=" + key("sensor.key_secret")
    run = Run("encrypted", records("LogZeroMQ::curve_server_key=" + key("collector.key"), given),
              keys=key("collector.key_secret"))
    run.quiet()
    assert len(run.sent["other"]) == 2 and len(run.sent["hosttest"]) == 2, run.sent
    # A filter with another key gets nothing to the collector, and says so.
    other = (
        'event zeek_init() &priority=-10 { Log::add_filter(HostTest::OTHER, [$name="own", $path="own",'
        ' $writer=Log::WRITER_ZEROMQ, $interv=0sec, $config=table(["curve_server_key"] = "%s",'
        ' ["zmq_connect_pause"] = "3000")]); }' % key("other.key"))
    run = Run("other-key", records("LogZeroMQ::curve_server_key=" + key("collector.key"), given, code=other),
              keys=key("collector.key_secret"))
    assert "own" not in run.sent and len(run.sent["other"]) == 2, run.sent
    assert "does not have the secret key of LogZeroMQ::curve_server_key" in run.said, run.said
    os.chmod(key("sensor.key_secret"), 0o644)
    run = Run("open-key", records("LogZeroMQ::curve_server_key=" + key("collector.key"), given),
              keys=key("collector.key_secret"))
    assert not run.sent and "chmod 600 " + key("sensor.key_secret") in run.said, run.said


def configurations_of_the_original():
    """What sites have that use the original plugin: filters declared with their type, its options
    for a subscriber that is late or slow, an endpoint of each transport."""
    load = "@load NCSA/ZeroMQWriter\nredef LogZeroMQ::endpoint = \"%s\";\n"
    run = Run("original-options", lambda endpoint: ["-C", "-r", WEB, script(
        load % endpoint + "redef LogZeroMQ::zmq_connect_pause = 500;\nredef LogZeroMQ::zmq_hwm = 25000;\n"
        "redef LogZeroMQ::zmq_linger = 3000;\n")])
    assert {"conn", "http", "files"} <= set(run.sent) and "dropped" not in run.said, (run.sent.keys(), run.said)

    names = {"dns": "DNS::LOG", "http": "HTTP::LOG"}
    run = Run("original-filters", lambda first, second: ["-C", "-r", DNS, script(
        load % first + "redef LogZeroMQ::send_logs += { HTTP::LOG, DNS::LOG, Files::LOG };\n"
        "event zeek_init() &priority=-10\n\t{\n" + "".join(
            '\tlocal to_%s: Log::Filter = [$name = "second", $writer = Log::WRITER_ZEROMQ,\n'
            '\t    $interv = 0 sec, $config = table(["endpoint"] = "%s")];\n\tLog::add_filter(%s, to_%s);\n'
            % (path, second, log, path) for path, log in names.items()) + "\t}\n")], 2)
    assert set(run.sent) <= {"dns", "http", "files"} and run.sent["dns"], run.sent.keys()
    assert run.received[1]["dns-2"] == run.sent["dns"] and set(run.received[1]) <= {"dns-2", "http-2"}, run.received[1].keys()


def documented_configurations():
    """Each configuration of the manual, unchanged but for the subscribers' addresses (and the name of the
    event, on Bro). They are the configurations of the original plugin's manual."""
    with open(README, encoding="utf-8") as readme:
        section = readme.read().split("\n## Activate it\n")[1].split("\n## ")[0]
    blocks = ["\n".join(line[4:] for line in block.strip("\n").split("\n"))
              for block in re.findall(r"(?:^(?: {4}.*)?\n)+", section, re.M)]
    blocks = [block for block in blocks if "LogZeroMQ::" in block and not block.startswith("zeek ")]
    assert len(blocks) >= 5, blocks
    complete = 0
    for number, block in enumerate(blocks):
        if "LogZeroMQ::endpoint" not in block:
            block = 'redef LogZeroMQ::endpoint = "tcp://localhost:12345";\n' + block
        if "@load" not in block:
            block = "@load NCSA/ZeroMQWriter\n" + block
        receivers = 1 + ("10.1.2.3" in block)

        def arguments(first, second="", block=block):
            code = block.replace("tcp://localhost:12345", first).replace("tcp://10.1.2.3:44000", second)
            return ["-C", "-r", DNS if "DNS::" in block else WEB, script(code)]

        run = Run("documented-%d" % number, arguments, receivers)
        sent = set(run.sent)
        files = run.files() - captures.IGNORED
        if "send_logs" in block:
            assert sent and sent <= {"dns", "http", "files"}, sent
            if "Log::add_filter" in block:
                assert set(run.received[1]) == {"dns-2"}, run.received[1].keys()
                assert run.received[1]["dns-2"] == run.sent["dns"]
            else:
                assert "dns" not in sent, sent
        elif "excluded_log_ids" in block:
            assert sent & files and not sent & {"conn", "dns"}, sent
        else:
            complete += 1
            assert files and files == sent - captures.IGNORED, (files, sent)
            if receivers == 2:
                assert run.received[0].keys() == run.received[1].keys()
        for path in sent & files:
            written = [line for line in run.file(path) if not line.startswith(b"#")]
            assert len(run.sent[path]) == len(written), path
    assert complete >= 2, blocks
    return len(blocks)


# Tests that compare with the host's own JSON, or use what only hosts with today's JSON know.
MODERN_ONLY = [filters_of_every_kind, defaults_of_all_filters, followed_filters]

TESTS = [
    filters_of_every_kind, defaults_of_all_filters, escape_policies, followed_filters, followed_filters_of_the_host,
    late_logs, no_files, fields_topics_tags, one_frame, a_bad_value, encryption, configurations_of_the_original,
    documented_configurations,
]


def main():
    failed = 0
    for test in TESTS:
        if test in MODERN_ONLY and not MODERN:
            print("SKIPPED %s: this host writes other JSON" % test.__name__.replace("_", " "))
            continue
        try:
            count = test()
            print("ok      %s%s" % (test.__name__.replace("_", " "), "" if count is None else " (%d)" % count))
        except AssertionError as error:
            failed += 1
            print("FAILED  %s: %s" % (test.__name__.replace("_", " "), error))
    return 1 if failed else 0


if __name__ == "__main__":
    PROGRAM, MODERN, SCRATCH, README = sys.argv[1], sys.argv[2] == "1", sys.argv[3], sys.argv[4]
    VERSION = [int(number) for number in re.search(rb"version (\d+)\.(\d+)", subprocess.run(
        [PROGRAM, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout).groups()]
    # Zeek 3.0 and older do not tell a script that a filter is there.
    FOLLOWS_AT_ONCE = VERSION >= [3, 1]
    FORGETS_FILTERS = VERSION >= [2, 6]
    # The event that the host raises at its start.
    INIT = "bro_init" if os.path.basename(PROGRAM) == "bro" else "zeek_init"
    sys.exit(main())

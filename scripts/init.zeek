##! The options of the ZeroMQ log writer. They apply to every filter that has
##! ``Log::WRITER_ZEROMQ`` as its writer; each can be set for a single filter
##! too, as text, in the filter's *config* table.

module LogZeroMQ;

export {
	## Where to send the logs: a ZeroMQ endpoint, which is a transport and an
	## address, such as "tcp://localhost:12345" (host name or IP address, and
	## port) or "ipc:///var/run/logs.sock" (path of a socket file). The
	## plugin connects there; with "@" in front it binds, and subscribers
	## connect: "@tcp://*:12345". While it is empty, ``NCSA/ZeroMQWriter``
	## sends no log.
	const endpoint = "" &redef;

	## "publish": every subscriber gets the logs that it subscribes to.
	## "push": each record goes to one of the endpoints, so that several
	## collectors (of socket type PULL) share the load.
	const socket_type = "publish" &redef;

	## The high water mark: how many records each filter keeps in memory when
	## the subscriber cannot be reached or is too slow. Records past that go
	## to the spool, or are dropped without one.
	const zmq_hwm = 1000 &redef;

	## How many milliseconds to wait at exit for records that are not sent
	## yet; -1 waits until they are all sent.
	const zmq_linger: int = 3000 &redef;

	## How many milliseconds to sleep after connecting, so that a subscriber
	## is there before the first record.
	const zmq_connect_pause: int = 0 &redef;

	## How long to hold records at the start, until a subscriber is there;
	## as many as ``LogZeroMQ::zmq_hwm`` allows.
	const wait_for_subscriber: interval = 0 sec &redef;

	## How long to wait before connecting again.
	const reconnect_interval: interval = 100 msec &redef;

	## The longest wait before connecting again: while nobody answers,
	## ``LogZeroMQ::reconnect_interval`` is doubled each time up to this.
	const reconnect_interval_max: interval = 1 sec &redef;

	## After how long without traffic the system asks the subscriber's system
	## whether the connection still stands; this also keeps firewalls from
	## forgetting the connection. 0 sec: never.
	const tcp_keepalive: interval = 1 min &redef;

	## How often ZeroMQ asks the subscriber itself whether it is there.
	## 0 sec: never.
	const heartbeat_interval: interval = 0 sec &redef;

	## How long ZeroMQ waits for the answer to a heartbeat before it connects
	## again. 0 sec: as long as ``LogZeroMQ::heartbeat_interval``.
	const heartbeat_timeout: interval = 0 sec &redef;

	## The subscriber's public key, for endpoints to connect to: its 40
	## characters, or the absolute path of its file. With several endpoints,
	## one key for all or one for each, with commas between. The plugin then
	## encrypts what it sends (CURVE), and only the subscriber that has the
	## secret key of this key gets it. If any of the four options curve_... is
	## set, nothing is ever sent without encryption.
	const curve_server_key = "" &redef;

	## The file of the plugin's own public key; empty takes the key from the file
	## of the secret key.
	const curve_public_key_file = "" &redef;

	## The file of the plugin's own secret key, which nobody but the host's user
	## may read. ``bro-zmq keygen`` makes both files.
	const curve_secret_key_file = "" &redef;

	## For endpoints to bind, with "@": the directory with the public keys,
	## NAME.key, of the subscribers that are let in. Keys can come and go.
	const curve_authorized_keys_dir = "" &redef;

	## How often each log's writer publishes what became of its records, as
	## JSON under the topic ``LogZeroMQ::stats_topic``. 0 sec: never.
	const stats_interval: interval = 0 sec &redef;

	## The topic of the statistics of ``LogZeroMQ::stats_interval``.
	const stats_topic = "zeromq_stats" &redef;

	## How many records of a log one message may have, a line each. 1: each
	## record is a message of its own.
	const batch_records: count = 1 &redef;

	## How long a record may wait for others to share its message with.
	const batch_latency: interval = 1 sec &redef;

	## How long the host may keep a record before the writer gets it. A record
	## that comes alone leaves at once; those that come sooner after one
	## another than this leave together. When very many come, the interval is
	## up to four times as long. 0 sec: as long as the host likes, which is up
	## to a second.
	const flush_interval: interval = 2 msec &redef;

	## The form of timestamps, the same as for the host's own JSON logs.
	const json_timestamps: JSON::TimestampFormat = JSON::TS_EPOCH &redef;

	## T: fields without a value are written as ``null``. F: they are left
	## out.
	const json_include_unset_fields: bool = F &redef;

	## How strings are written that hold other bytes than printable ASCII
	## and valid UTF-8, the same as for the host's own JSON logs. Hosts
	## before Zeek 9.0 do not know the type ``JSON::StringEscapePolicy``:
	## there, this is a string with the same names.
@ifdef ( JSON::StringEscapePolicy )
	const json_string_escape_policy: JSON::StringEscapePolicy = JSON::STRING_ESCAPE_POLICY_HEX &redef;
@else
	const json_string_escape_policy = "JSON::STRING_ESCAPE_POLICY_HEX" &redef;
@endif

	## What each message begins with, as its first frame, and by which
	## subscribers choose logs. "%path" stands for the log path, such as
	## "conn", "%sensor" for ``LogZeroMQ::sensor`` and "%%" for a percent sign.
	const topic = "%path" &redef;

	## How many frames each message has: "two" are the topic and the JSON;
	## "one" has both, with a space between, for subscribers that take every
	## frame for a message. With "one", the topic may be empty: the message is
	## the JSON alone.
	const frames = "two" &redef;

	## This sensor's name, for "%sensor" in ``LogZeroMQ::topic`` and
	## ``LogZeroMQ::extra_fields``; the machine's host name while it is empty.
	const sensor = "" &redef;

	## A directory for records that cannot be sent now: they wait there, also
	## over a restart, instead of being dropped. An absolute path, for this
	## host alone; it is made if its parent exists. Empty means that there is
	## none.
	const spool_dir = "" &redef;

	## How many bytes the records in ``LogZeroMQ::spool_dir`` may take, at
	## least 1048576.
	const spool_max_bytes = 1073741824 &redef;

	## Which records are dropped when ``LogZeroMQ::spool_max_bytes`` is
	## reached: "oldest" or "newest".
	const spool_when_full = "oldest" &redef;

	## When records in ``LogZeroMQ::spool_dir`` are forced to the disk, so
	## that they outlast a power failure: "never", "interval" (once a second)
	## or "always" (each record; slow).
	const spool_sync = "interval" &redef;

	## T: every record goes through ``LogZeroMQ::spool_dir``, so that a host
	## that is killed loses none. F: only records that cannot be sent at once
	## do.
	const spool_always: bool = F &redef;

	## Fields to add at the end of every record, such as this sensor's name
	## or site: names and their values. In a value, "%path" stands for the
	## log path, "%sensor" for ``LogZeroMQ::sensor`` and "%%" for a percent
	## sign.
	const extra_fields: table[string] of string &redef;

	## T: each record is put into an object of its own, as its only member
	## and under the log path as its name: ``{"conn":{...}}``.
	const tag_json: bool = F &redef;

	## T: the portable plugin sends nothing in a host that was not known when
	## the plugin was made: one that is newer, under development, or has log
	## records of a layout of its own. F: it reads records by the layout that
	## it has found.
	const only_known_hosts: bool = F &redef;

	## ``LogZeroMQ::extra_fields`` as the writer reads it. Not an option.
	global extra_fields_hex = "";
}

# A writer reads text. Hexadecimal digits are the same text in every host, whatever a name
# or a value consists of.
function set_extra_fields()
	{
	local separator = "";

	for ( name in extra_fields )
		{
		extra_fields_hex = cat(extra_fields_hex, separator, bytestring_to_hexstr(name), "=",
		                       bytestring_to_hexstr(extra_fields[name]));
		separator = ",";
		}
	}

# Runs before anybody can write a record.
@ifdef ( zeek_init )
event zeek_init() &priority=1000000
	{
	set_extra_fields();
	}
@else
event bro_init() &priority=1000000
	{
	set_extra_fields();
	}
@endif

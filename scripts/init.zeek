##! The options of the ZeroMQ log writer. They apply to every filter that has
##! ``Log::WRITER_ZEROMQ`` as its writer; each can be set for a single filter
##! too, as text, in the filter's *config* table.

module LogZeroMQ;

export {
	## Where to send the logs: a ZeroMQ endpoint, which is a transport and an
	## address, such as "tcp://localhost:12345" (host name or IP address, and
	## port) or "ipc:///var/run/logs.sock" (path of a socket file). While it
	## is empty, ``NCSA/ZeroMQWriter`` sends no log.
	const endpoint = "" &redef;

	## The high water mark: how many records each filter keeps in memory when
	## the subscriber cannot be reached or is too slow. Records past that are
	## dropped.
	const zmq_hwm = 1000 &redef;

	## How many milliseconds to wait at exit for records that are not sent
	## yet; -1 waits until they are all sent.
	const zmq_linger: int = 3000 &redef;

	## How many milliseconds to sleep after connecting, so that a subscriber
	## is there before the first record.
	const zmq_connect_pause: int = 0 &redef;

	## The form of timestamps, the same as for the host's own JSON logs.
	const json_timestamps: JSON::TimestampFormat = JSON::TS_EPOCH &redef;

	## Whether fields without a value are written as ``null``; otherwise
	## they are left out.
	const json_include_unset_fields: bool = F &redef;

	## The first frame of each message, which subscribers choose logs by. In
	## it, "%path" stands for the log path, such as "conn", "%sensor" for
	## ``LogZeroMQ::sensor`` and "%%" for a percent sign.
	const topic = "%path" &redef;

	## This sensor's name, for "%sensor" in ``LogZeroMQ::topic``; the
	## machine's host name while it is empty.
	const sensor = "" &redef;
}

# Logs that begin late, for tests/host/options.py: each is written to in the handler that creates
# it, and once more when that is over.

@load NCSA/ZeroMQWriter

module Late;

export {
	redef enum Log::ID += { START, END, EVENT, AGAIN, ENABLED, EXCLUDED };

	type Info: record {
		number: count &log;
		text: string &log;
	};

	# T to change the default filter of a log as soon as the log is there.
	const changes = F &redef;
}

redef LogZeroMQ::excluded_log_ids += { EXCLUDED };

global again: event(id: Log::ID, number: count);
global begin_late: event();

function begin(id: Log::ID, path: string)
	{
	Log::create_stream(id, [$columns=Info, $path=path]);

	if ( changes )
		{
		local filter = Log::get_filter(id, "default");
		filter$exclude = set("text");
		Log::add_filter(id, filter);
		}

	Log::write(id, Info($number=1, $text="at once"));
	event Late::again(id, 2);
	}

event Late::again(id: Log::ID, number: count)
	{
	Log::write(id, Info($number=number, $text="later"));
	}

event Late::begin_late()
	{
	begin(EVENT, "event");
	begin(EXCLUDED, "excluded");

	Log::remove_stream(AGAIN);
	begin(AGAIN, "again");

	# Bro 2.5 declares Log::enable_stream, but has no body for it. Option::set came with 2.6.
@ifdef ( Option::set )
	Log::enable_stream(ENABLED);
@else
	Log::__enable_stream(ENABLED);
@endif
	event Late::again(ENABLED, 1);
	}

function start()
	{
	begin(START, "start");
	Log::create_stream(AGAIN, [$columns=Info, $path="removed"]);
	Log::create_stream(ENABLED, [$columns=Info, $path="enabled"]);
	Log::disable_stream(ENABLED);
	}

function end()
	{
	begin(END, "end");
	event Late::begin_late();
	}

@ifdef ( zeek_init )
event zeek_init()
	{
	start();
	}

event zeek_init() &priority=-2000000
	{
	end();
	}
@else
event bro_init()
	{
	start();
	}

event bro_init() &priority=-2000000
	{
	end();
	}
@endif

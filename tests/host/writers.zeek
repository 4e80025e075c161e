# Writers that come and go while the host runs, for tests/host/run: a stream is created, writes, is
# disabled and enabled again, and removed; another stream is rotated meanwhile. Rotation has a stream
# of its own because Zeek crashes when it rotates a log whose stream is gone, whatever its writer is.

module HostTest;

export {
	redef enum Log::ID += { WRITERS, ROTATED };

	type Written: record {
		n: count &log;
	};

	const endpoint = "" &redef;

	const rounds = 10 &redef;

	# Records of a round.
	const each = 20 &redef;
}

redef exit_only_after_terminate = T;

global begin_round: event(round: count);
global rotate: event();
global end_round: event(round: count);
global stop: event();

event HostTest::stop()
	{
	terminate();
	}

function add_filter(id: Log::ID, rotation: interval)
	{
	Log::remove_default_filter(id);
	Log::add_filter(id, [$name="come-and-go", $writer=Log::WRITER_ZEROMQ, $interv=rotation,
		$config=table(["endpoint"] = endpoint, ["wait_for_subscriber"] = "20 sec")]);
	}

event HostTest::rotate()
	{
	Log::write(HostTest::ROTATED, [$n=2]);
	schedule 100 msec { HostTest::stop() };
	}

event HostTest::begin_round(round: count)
	{
	if ( round == rounds )
		{
		schedule 2500 msec { HostTest::rotate() };
		return;
		}

	Log::create_stream(HostTest::WRITERS, [$columns=Written, $path="writers"]);
	add_filter(HostTest::WRITERS, 0 sec);

	local n = 0;

	while ( n < each )
		{
		if ( n == each / 2 )
			{
			# Disabling and enabling keep the writer, which the filter finds again.
			Log::disable_stream(HostTest::WRITERS);
# Bro 2.5 declares Log::enable_stream, but has no body for it. Option::set came with 2.6.
@ifdef ( Option::set )
			Log::enable_stream(HostTest::WRITERS);
@else
			Log::__enable_stream(HostTest::WRITERS);
@endif
			}

		Log::write(HostTest::WRITERS, [$n=round * each + n]);
		++n;
		}

	schedule 50 msec { HostTest::end_round(round) };
	}

event HostTest::end_round(round: count)
	{
	Log::remove_filter(HostTest::WRITERS, "come-and-go");
	# Hosts keep a writer until its stream goes.
	Log::remove_stream(HostTest::WRITERS);
	event HostTest::begin_round(round + 1);
	}

function start()
	{
	Log::create_stream(HostTest::ROTATED, [$columns=Written, $path="rotated"]);
	add_filter(HostTest::ROTATED, 1 sec);
	Log::write(HostTest::ROTATED, [$n=1]);
	event HostTest::begin_round(0);
	}

@ifdef ( zeek_init )
event zeek_init()
	{
	start();
	}
@else
event bro_init()
	{
	start();
	}
@endif

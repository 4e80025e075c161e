# Writes numbered records at a steady rate, for tests/host/delivery.py.

module HostTest;

export {
	redef enum Log::ID += { NUMBERS };

	type Number: record {
		n: string &log;
	};

	const how_many = 60000 &redef;

	# Records a second.
	const rate = 10000 &redef;

	# How long the host goes on after the last one.
	const stay = 5 sec &redef;

	# T to end the host then by an error that ends the whole process at once.
	const fail = F &redef;
}

redef exit_only_after_terminate = T;

global go_on: event();
global stop: event();

global started: time;
global written = 0;

event HostTest::stop()
	{
	if ( fail )
		Reporter::fatal("as asked for");

	terminate();
	}

event HostTest::go_on()
	{
	local due = double_to_count(interval_to_double(current_time() - started) * rate);

	while ( written < due && written < how_many )
		{
		++written;
		Log::write(HostTest::NUMBERS, [$n=fmt("%d", written)]);
		}

	if ( written < how_many )
		schedule 10 msec { HostTest::go_on() };
	else
		schedule stay { HostTest::stop() };
	}

function begin()
	{
	started = current_time();
	event HostTest::go_on();
	}

@ifdef ( zeek_init )
event zeek_init() &priority=5
	{
	Log::create_stream(HostTest::NUMBERS, [$columns=Number, $path="numbers"]);
	}

event zeek_init() &priority=-2000000
	{
	begin();
	}
@else
event bro_init() &priority=5
	{
	Log::create_stream(HostTest::NUMBERS, [$columns=Number, $path="numbers"]);
	}

event bro_init() &priority=-2000000
	{
	begin();
	}
@endif

# Forty logs with a record each, and then nothing for eight seconds but what the host itself logs.

module Idle;

export {
	redef enum Log::ID += {
		L01, L02, L03, L04, L05, L06, L07, L08, L09, L10, L11, L12, L13, L14, L15, L16, L17, L18, L19, L20,
		L21, L22, L23, L24, L25, L26, L27, L28, L29, L30, L31, L32, L33, L34, L35, L36, L37, L38, L39, L40
	};

	type Info: record {
		number: count &log;
	};
}

redef exit_only_after_terminate = T;

const logs: set[Log::ID] = {
	L01, L02, L03, L04, L05, L06, L07, L08, L09, L10, L11, L12, L13, L14, L15, L16, L17, L18, L19, L20,
	L21, L22, L23, L24, L25, L26, L27, L28, L29, L30, L31, L32, L33, L34, L35, L36, L37, L38, L39, L40
};

global begin_logs: event();
global end_all: event();

event begin_logs()
	{
	for ( id in logs )
		Log::write(id, Info($number=1));

	schedule 8 sec { end_all() };
	}

event end_all()
	{
	terminate();
	}

function create_logs()
	{
	local number = 0;

	for ( id in logs )
		{
		Log::create_stream(id, [$columns=Info, $path=fmt("idle%02d", number)]);
		++number;
		}

	schedule 100 msec { begin_logs() };
	}

@ifdef ( zeek_init )
event zeek_init() &priority=5
	{
	create_logs();
	}
@else
event bro_init() &priority=5
	{
	create_logs();
	}
@endif

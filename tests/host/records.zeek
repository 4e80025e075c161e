# Writes records of every type that can be logged, for tests/host/run.

module HostTest;

export {
	redef enum Log::ID += { LOG, OTHER };

	type Color: enum { RED, GREEN };

	type Inner: record {
		orig_h: addr &log;
		resp_p: port &log;
	};

	type Info: record {
		ts: time &log;
		yes: bool &log;
		small: int &log;
		large: count &log;
		ratio: double &log;
		took: interval &log;
		text: string &log;
		utf8: string &log;
		color: Color &log;
		id: Inner &log;
		v6: addr &log;
		net: subnet &log;
		net6: subnet &log;
		words: vector of string &log;
		ports: set[port] &log;
		hosts: set[addr] &log;
		numbers: vector of double &log;
		nothing: set[string] &log;
		unset: string &log &optional;
		last: count &log;
	};

	# Adds a second filter, with an endpoint and options of its own.
	const other_endpoint = "" &redef;

	const how_many = 2 &redef;
}

function make(i: count): Info
	{
	local none: set[string];
	return Info($ts=double_to_time(1699999999.123456 + i), $yes=(i % 2 == 0), $small=-42,
	            $large=18446744073709551615, $ratio=0.1 + i, $took=90sec,
	            $text="tab\t quote\" percent%s latin\xe9", $utf8="euro\xe2\x82\xac", $color=GREEN,
	            $id=Inner($orig_h=192.168.0.1, $resp_p=443/tcp), $v6=[2001:db8::1],
	            $net=10.0.0.0/8, $net6=[2001:db8::]/32, $words=vector("a", "b,c"),
	            $ports=set(53/udp), $hosts=set(10.1.2.3), $numbers=vector(1.0, 2.5e-7),
	            $nothing=none, $last=i);
	}

function create()
	{
	Log::create_stream(HostTest::LOG, [$columns=Info, $path="hosttest"]);
	Log::create_stream(HostTest::OTHER, [$columns=Inner, $path="other"]);
	}

function write()
	{
	if ( other_endpoint != "" )
		{
		Log::add_filter(HostTest::LOG, [$name="second", $writer=Log::WRITER_ZEROMQ, $interv=0sec,
		    $config=table(["endpoint"] = other_endpoint, ["json_timestamps"] = "JSON::TS_ISO8601",
		                  ["json_include_unset_fields"] = "T")]);
		}

	local i = 0;
	while ( i < how_many )
		{
		Log::write(HostTest::LOG, make(i));
		Log::write(HostTest::OTHER, Inner($orig_h=10.0.0.1, $resp_p=53/udp));
		++i;
		}
	}

@ifdef ( zeek_init )
event zeek_init() &priority=5
	{
	create();
	}

# When the plugin's script has done all it does.
event zeek_init() &priority=-2000000
	{
	write();
	}
@else
event bro_init() &priority=5
	{
	create();
	}

event bro_init() &priority=-2000000
	{
	write();
	}
@endif

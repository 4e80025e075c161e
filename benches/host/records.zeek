# Writes records like those of conn.log, for benches/host/bench. Begins when the file "go" is there,
# says so and when it is done, and goes on until it is stopped.

module BenchHost;

export {
	redef enum Log::ID += { LOG };

	type Id: record {
		orig_h: addr &log;
		orig_p: port &log;
		resp_h: addr &log;
		resp_p: port &log;
	};

	type Proto: enum { tcp, udp };

	type Info: record {
		ts: time &log;
		uid: string &log;
		id: Id &log;
		proto: Proto &log;
		service: string &log &optional;
		duration: interval &log &optional;
		orig_bytes: count &log &optional;
		resp_bytes: count &log &optional;
		conn_state: string &log &optional;
		local_orig: bool &log &optional;
		local_resp: bool &log &optional;
		missed_bytes: count &log &default=0;
		history: string &log &optional;
		orig_pkts: count &log &optional;
		orig_ip_bytes: count &log &optional;
		resp_pkts: count &log &optional;
		resp_ip_bytes: count &log &optional;
		tunnel_parents: set[string] &log &optional;
	};

	const how_many = 400000 &redef;

	# Records a second; 0 is as fast as the host can.
	const rate = 0 &redef;

	# True if the host's own log is written.
	const own_log = F &redef;

	# True if a log is written that keeps nothing.
	const no_writer = F &redef;

	global tick: event();
	global wait: event();
}

redef exit_only_after_terminate = T;

# Records that take turns: making one takes longer than writing it.
global samples: vector of Info;

function make(i: count): Info
	{
	local start = double_to_time(1699999999.0 + i * 0.013771);
	local web = i % 3 > 0;
	local record_: Info;
	record_$ts = start;
	record_$uid = fmt("C%016xb", i * 3141592653589);
	record_$id = Id($orig_h=counts_to_addr(vector(168430080 + i)), $orig_p=count_to_port(32768 + i * 7, tcp),
	                $resp_h=counts_to_addr(vector(3232235777 + i * 259)), $resp_p=web ? 443/tcp : 53/udp);
	record_$proto = web ? tcp : udp;
	record_$service = web ? "ssl" : "dns";
	record_$duration = double_to_time(1699999999.0 + i * 0.013771 + i * 0.000791) - start;
	record_$orig_bytes = 40 + i * 17;
	record_$resp_bytes = 120 + i * 1117;
	record_$conn_state = "SF";
	record_$local_orig = T;
	record_$local_resp = F;
	record_$history = web ? "ShADadFf" : "Dd";
	record_$orig_pkts = 1 + i % 40;
	record_$orig_ip_bytes = 68 + i * 19;
	record_$resp_pkts = 1 + i % 90;
	record_$resp_ip_bytes = 148 + i * 1171;
	return record_;
	}

function begin()
	{
	Log::create_stream(BenchHost::LOG, [$columns=Info, $path="benchhost"]);
	if ( ! own_log )
		Log::remove_default_filter(BenchHost::LOG);

	if ( no_writer )
		Log::add_filter(BenchHost::LOG, [$name="none", $writer=Log::WRITER_NONE]);

	local i = 0;
	while ( i < 1000 )
		{
		samples[i] = make(i);
		++i;
		}
	}

global written = 0;
global begun: time;

# Writes what is due.
event BenchHost::tick()
	{
	local due = how_many;
	if ( rate > 0 )
		{
		local elapsed = interval_to_double(current_time() - begun);
		if ( elapsed * rate < how_many )
			due = double_to_count(elapsed * rate);
		}

	while ( written < due )
		{
		Log::write(BenchHost::LOG, samples[written % 1000]);
		++written;
		}

	if ( written < how_many )
		{
		schedule 1msec { BenchHost::tick() };
		return;
		}

	print "done";
	flush_all();
	}

# The first record opens the writer; then the bench looks at the threads.
event BenchHost::wait()
	{
	if ( file_size("go") < 0.0 )
		{
		schedule 50msec { BenchHost::wait() };
		return;
		}

	begun = current_time();
	event BenchHost::tick();
	}

function first()
	{
	Log::write(BenchHost::LOG, samples[0]);
	print "ready";
	flush_all();
	schedule 50msec { BenchHost::wait() };
	}

@ifdef ( zeek_init )
event zeek_init() &priority=5
	{
	begin();
	}

# This handler runs after the plugin's script has added its filters.
event zeek_init() &priority=-2000000
	{
	first();
	}
@else
event bro_init() &priority=5
	{
	begin();
	}

event bro_init() &priority=-2000000
	{
	first();
	}
@endif

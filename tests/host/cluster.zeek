# A node of a cluster, for tests/host/cluster.py: workers read their capture when they can reach
# the logger; or, without one, write numbered records.

module ClusterTest;

export {
	redef enum Log::ID += { LOG };

	type Info: record {
		ts: time &log;
		node: string &log;
		n: count &log;
	};

	# Records a second from each worker; 0 for those that read captures.
	const rate = 0.0 &redef;

	global go_on: event();
	global tick: event();
}

redef exit_only_after_terminate = T;

global begun: time;
global written = 0;

function is_worker(): bool
	{
	return Cluster::local_node_type() == Cluster::WORKER;
	}

event ClusterTest::tick()
	{
	while ( written < interval_to_double(current_time() - begun) * rate )
		{
		Log::write(LOG, [$ts=current_time(), $node=Cluster::node, $n=written]);
		++written;
		}

	schedule 1msec { ClusterTest::tick() };
	}

event ClusterTest::go_on()
	{
	if ( written > 0 )
		return;

	# The test waits for this line.
	print "goes on";
	flush_all();

	if ( rate == 0.0 )
		{
		continue_processing();
		return;
		}

	begun = current_time();
	event ClusterTest::tick();
	}

# An event tells when to go on: timers stand still as long as no capture is read.
@ifdef ( Cluster::node_up )
event Cluster::node_up(name: string, id: string)
	{
	if ( is_worker() && name == "logger" )
		event ClusterTest::go_on();
	}
@else
# Bro 2.5.
event remote_connection_handshake_done(peer: event_peer)
	{
	if ( is_worker() && peer$descr == "logger" )
		event ClusterTest::go_on();
	}
@endif

function start()
	{
	Log::create_stream(LOG, [$columns=Info, $path="numbers"]);

	if ( is_worker() && rate == 0.0 )
		suspend_processing();
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

# Prints the plugin's metrics at the end, for tests/host/run.

@load base/frameworks/telemetry

redef exit_only_after_terminate = T;

event print_metrics()
	{
	for ( _, metric in Telemetry::collect_metrics("zeek", "zeromq*") )
		{
		local values = join_string_vec(metric$label_values, ",");
		print fmt("%s{%s} %g", metric$opts$name, values, metric$value);
		}
	terminate();
	}

event zeek_init() &priority=-3000000
	{
	# Each writer tells its counters at its heartbeat, once a second.
	schedule 3 sec { print_metrics() };
	}

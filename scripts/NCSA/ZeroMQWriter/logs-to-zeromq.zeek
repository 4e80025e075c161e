##! Sends logs to the subscriber at ``LogZeroMQ::endpoint``, besides
##! whatever else happens to them.

module LogZeroMQ;

export {
	## The logs to send; all of them while it is empty.
	const send_logs: set[Log::ID] &redef;

	## Logs not to send, even if they are in
	## ``LogZeroMQ::send_logs``.
	const excluded_log_ids: set[Log::ID] &redef;
}

function add_filters()
	{
	if ( endpoint == "" )
		return;

	for ( id in Log::active_streams )
		{
		if ( id in excluded_log_ids )
			next;

		if ( |send_logs| > 0 && id !in send_logs )
			next;

		# No rotation: there is no file.
		Log::add_filter(id, [$name = "default-zmq",
		                     $writer = Log::WRITER_ZEROMQ,
		                     $interv = 0 sec]);
		}
	}

# Bro raises the one, Zeek the other. The priority leaves the streams time to be
# created (5 and 0), and lets a site's own filters come after these (-10).
@ifdef ( zeek_init )
event zeek_init() &priority=-5
	{
	add_filters();
	}
@else
event bro_init() &priority=-5
	{
	add_filters();
	}
@endif

##! Sends logs to the subscriber at ``LogZeroMQ::endpoint``, besides
##! whatever else happens to them.

module LogZeroMQ;

export {
	## The logs to send; all of them while it is empty.
	const send_logs: set[Log::ID] &redef;

	## Logs not to send, even if they are in
	## ``LogZeroMQ::send_logs``.
	const excluded_log_ids: set[Log::ID] &redef;

	## T: logs that are sent are no longer written to files, as their default
	## filter is removed. Other logs keep theirs.
	const only_zeromq: bool = F &redef;

	## T: a log is sent as its default filter has it, with the same path,
	## columns and names, and without the records that the filter leaves out.
	## F: all columns and all records are sent.
	const follow_default_filter: bool = F &redef;

	## Where in a cluster records are published: "logger" is where they are
	## written to files; with "workers" each node publishes what it writes
	## itself, past the logger.
	const cluster = "logger" &redef;
}

# The name of the cluster's node that this host is; empty if it is none.
function node_name(): string
	{
@ifdef ( Cluster::node )
	return Cluster::node;
@else
	return getenv("CLUSTER_NODE");
@endif
	}

# Options that each node has for itself when all nodes publish.
function node_config(): table[string] of string
	{
	local config: table[string] of string;

	if ( sensor == "" )
		config["sensor"] = node_name();

	if ( spool_dir != "" )
		config["spool_dir"] = cat(spool_dir, "-", node_name());

	return config;
	}

# The default filters that are followed, as text, to notice when one is changed later.
global followed: table[Log::ID] of string;

# The streams that have the filter, or get it at the start, also while they are disabled.
global streams: set[Log::ID];

# T once the streams that are there at the start have their filters: others come late.
global started = F;

# Comes for a stream that was created late, when the handler that has created it is over. (In a
# module, Bro finds an event by its whole name only.)
global stream_created_late: event(id: Log::ID);

function is_sent(id: Log::ID): bool
	{
	if ( endpoint == "" || id in excluded_log_ids )
		return F;

	return |send_logs| == 0 || id in send_logs;
	}

function has_filter(id: Log::ID, name: string): bool
	{
	# Log::get_filter returns a filter of another name if there is none of this name.
	return Log::get_filter(id, name)$name == name;
	}

# Keeps a log's default filter from writing. The filter stays for now, for a site's scripts to find.
function mute_default_filter(id: Log::ID)
	{
	if ( ! has_filter(id, "default") )
		return;

	local filter = Log::get_filter(id, "default");
	filter$log_local = F;
	filter$log_remote = F;
	Log::add_filter(id, filter);
	}

function add_filter(id: Log::ID)
	{
	# No rotation: there is no file.
	local filter = Log::Filter($name = "default-zmq",
	                           $writer = Log::WRITER_ZEROMQ,
	                           $interv = 0 sec);

	if ( cluster == "workers" && node_name() != "" )
		{
		filter$log_local = T;
		filter$log_remote = F;
		filter$config = node_config();
		}

	if ( follow_default_filter )
		followed[id] = "";

	if ( follow_default_filter && has_filter(id, "default") )
		{
		local original = Log::get_filter(id, "default");
		followed[id] = cat(original);

		# Hosts differ in what a filter has. From Zeek 4.0 on, which brought the policy
		# hook, a copy has all of it, and what concerns files is taken out again.
@ifdef ( Log::PolicyHook )
		local same = copy(original);
		same$name = filter$name;
		same$writer = filter$writer;
		same$interv = filter$interv;
		same$config = filter$config;
		same$log_local = filter$log_local;
		same$log_remote = filter$log_remote;
		delete same$postprocessor;
		filter = same;
@else
		if ( original?$path )
			filter$path = original$path;
		if ( original?$path_func )
			filter$path_func = original$path_func;
		if ( original?$pred )
			filter$pred = original$pred;
		if ( original?$include )
			filter$include = original$include;
		if ( original?$exclude )
			filter$exclude = original$exclude;
		filter$field_name_map = original$field_name_map;
		filter$scope_sep = original$scope_sep;

		# Bro 2.6 crashes when two filters of a log have both chosen columns and extensions.
		if ( ! original?$include )
			{
			filter$ext_prefix = original$ext_prefix;
			filter$ext_func = original$ext_func;
			}
@endif
		}

	Log::add_filter(id, filter);
	}

function add_filters()
	{
	if ( cluster != "logger" && cluster != "workers" )
		Reporter::error(cat("LogZeroMQ::cluster is \"", cluster, "\"; use \"logger\" or \"workers\""));

	for ( active in Log::active_streams )
		{
		if ( is_sent(active) )
			add streams[active];
		}

	for ( id in streams )
		{
		# The stream may have been removed since.
		if ( id !in Log::active_streams && ! has_filter(id, "default-zmq") && ! has_filter(id, "default") )
			next;

		if ( only_zeromq )
			mute_default_filter(id);

		add_filter(id);
		}

	started = T;
	}

# Looks at a log's filters once more: a site's own scripts may have changed them since.
function finish_filter(id: Log::ID)
	{
	if ( ! has_filter(id, "default-zmq") || ! has_filter(id, "default") )
		return;

	if ( id in followed && followed[id] != cat(Log::get_filter(id, "default")) )
		add_filter(id);

	if ( only_zeromq )
		Log::remove_default_filter(id);
	}

function finish_filters()
	{
	for ( id in streams )
		finish_filter(id);
	}

event LogZeroMQ::stream_created_late(id: Log::ID)
	{
	if ( is_sent(id) && id in Log::active_streams && ! has_filter(id, "default-zmq") )
		add_filter(id);

	finish_filter(id);
	}

# Streams get the filter as they are created, so that the first record is sent. Streams that are
# there at the start get it once more in add_filters, so that it comes after the filters of others.
@ifdef ( TableChange )
export {
	## The host calls this when a log's filter has been added, changed or
	## removed.
	global filter_changed: function(filters: table[Log::ID, string] of Log::Filter, change: TableChange,
	                                id: Log::ID, name: string, filter: Log::Filter);
}

function filter_changed(filters: table[Log::ID, string] of Log::Filter, change: TableChange,
                        id: Log::ID, name: string, filter: Log::Filter)
	{
	if ( name != "default" || ! is_sent(id) )
		return;

	# A default filter that is added again, beside ours, is wanted; ours, once removed, is not.
	if ( change == TABLE_ELEMENT_NEW && ! has_filter(id, "default-zmq") )
		{
		if ( started && only_zeromq )
			{
			mute_default_filter(id);
			event LogZeroMQ::stream_created_late(id);
			}

		add streams[id];
		add_filter(id);
		}

	if ( change == TABLE_ELEMENT_CHANGED && has_filter(id, "default-zmq") &&
	     id in followed && followed[id] != cat(Log::get_filter(id, "default")) )
		add_filter(id);
	}

module Log;

@ifdef ( filters )
redef filters &on_change=LogZeroMQ::filter_changed;
@endif

module LogZeroMQ;
@else
# Bro and Zeek 3.0 ask for a field's default whenever a record is made, and make a new stream's
# default filter when the stream is there: a field of Log::Filter finds out about new streams.
global adding = F;

function filter_made(): bool
	{
	if ( adding )
		return T;

	adding = T;

	for ( id in Log::active_streams )
		{
		# A stream that has its default filter is not new.
		if ( ! is_sent(id) || has_filter(id, "default") || has_filter(id, "default-zmq") )
			next;

		if ( ! follow_default_filter )
			add_filter(id);

@ifdef ( Log::enable_stream )
		if ( ! started )
			add streams[id];
@endif

		if ( started && ( only_zeromq || follow_default_filter ) )
			event LogZeroMQ::stream_created_late(id);
		}

	adding = F;
	return T;
	}

redef record Log::Filter += {
	## For the plugin alone.
	zeromq_made: bool &default=filter_made();
};
@endif

# Bro raises bro_init, Zeek zeek_init. -5 leaves the streams time to be created (5 and 0), and
# lets a site's own filters come after these (-10). With only_zeromq it is -4, as Bro writes its
# first record at -5, which is not to make a file.
@ifdef ( zeek_init )
event zeek_init() &priority=-4
	{
	if ( only_zeromq )
		add_filters();
	}

event zeek_init() &priority=-5
	{
	if ( ! only_zeromq )
		add_filters();
	}

event zeek_init() &priority=-1000000
	{
	finish_filters();
	}
@else
event bro_init() &priority=-4
	{
	if ( only_zeromq )
		add_filters();
	}

event bro_init() &priority=-5
	{
	if ( ! only_zeromq )
		add_filters();
	}

event bro_init() &priority=-1000000
	{
	finish_filters();
	}
@endif

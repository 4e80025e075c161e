##! Sends logs to the subscriber at ``LogZeroMQ::endpoint``, besides
##! whatever else happens to them.

module LogZeroMQ;

export {
	## The logs to send; all of them while it is empty.
	const send_logs: set[Log::ID] &redef;

	## Logs not to send, even if they are in
	## ``LogZeroMQ::send_logs``.
	const excluded_log_ids: set[Log::ID] &redef;

	## Whether the logs that are sent are no longer written to files: their
	## default filter is removed. Other logs keep theirs.
	const only_zeromq: bool = F &redef;

	## Whether a log is sent as its default filter has it: with the same
	## path, columns and names, and without the records that it leaves out.
	## Otherwise all columns and all records are sent.
	const follow_default_filter: bool = F &redef;

	## Where in a cluster records are published: "logger" is where they are
	## written to files; with "workers" each node publishes what it writes
	## itself, past the logger.
	const cluster = "logger" &redef;
}

# A host that is a cluster's node has a name.
function node_name(): string
	{
@ifdef ( Cluster::node )
	return Cluster::node;
@else
	return getenv("CLUSTER_NODE");
@endif
	}

# What is a node's own when each publishes.
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

# Whether the streams that are there at the start have their filters: others come late.
global started = F;

# A stream that has come late, when the handler that has created it is over. (In a module, Bro
# finds an event by its whole name only.)
global late: event(id: Log::ID);

function is_sent(id: Log::ID): bool
	{
	if ( endpoint == "" || id in excluded_log_ids )
		return F;

	return |send_logs| == 0 || id in send_logs;
	}

function has_filter(id: Log::ID, name: string): bool
	{
	# It returns one of another name if there is none.
	return Log::get_filter(id, name)$name == name;
	}

# Keeps a log's default filter from writing. It stays for now, for a site's scripts to find.
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
		# It may have been removed since.
		if ( id !in Log::active_streams && ! has_filter(id, "default-zmq") && ! has_filter(id, "default") )
			next;

		if ( only_zeromq )
			mute_default_filter(id);

		add_filter(id);
		}

	started = T;
	}

# A site's own scripts may have changed filters since.
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

event LogZeroMQ::late(id: Log::ID)
	{
	if ( is_sent(id) && id in Log::active_streams && ! has_filter(id, "default-zmq") )
		add_filter(id);

	finish_filter(id);
	}

# Streams get the filter as they are created, so that the first record is sent, and those that
# are there at the start once more below, so that it comes after the filters of others.
@ifdef ( TableChange )
export {
	## For the host, which calls it when a log's filter has been added, changed
	## or removed.
	global filter_changed: function(filters: table[Log::ID, string] of Log::Filter, change: TableChange,
	                                id: Log::ID, name: string, filter: Log::Filter);
}

function filter_changed(filters: table[Log::ID, string] of Log::Filter, change: TableChange,
                        id: Log::ID, name: string, filter: Log::Filter)
	{
	if ( name != "default" || ! is_sent(id) )
		return;

	# Whoever adds a default filter again wants it, and whoever has removed ours, too.
	if ( change == TABLE_ELEMENT_NEW && ! has_filter(id, "default-zmq") )
		{
		if ( started && only_zeromq )
			{
			mute_default_filter(id);
			event LogZeroMQ::late(id);
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
# Bro, and Zeek 3.0: what a record has by default is asked for whenever one is made, and a
# new stream's default filter is made when the stream is there.
global adding = F;

function filter_made(): bool
	{
	if ( adding )
		return T;

	adding = T;

	for ( id in Log::active_streams )
		{
		# One that has its default filter is not new.
		if ( ! is_sent(id) || has_filter(id, "default") || has_filter(id, "default-zmq") )
			next;

		if ( ! follow_default_filter )
			add_filter(id);

@ifdef ( Log::enable_stream )
		if ( ! started )
			add streams[id];
@endif

		if ( started && ( only_zeromq || follow_default_filter ) )
			event LogZeroMQ::late(id);
		}

	adding = F;
	return T;
	}

redef record Log::Filter += {
	## For the plugin alone.
	zeromq_made: bool &default=filter_made();
};
@endif

# Bro raises the one, Zeek the other. -5 leaves the streams time to be created (5 and 0), and
# lets a site's own filters come after these (-10). Bro writes its first record at -5, which
# is not to make a file.
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

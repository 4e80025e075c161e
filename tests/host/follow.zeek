# Default filters of a site's own making, for tests/host/options.py.

module Follow;

export {
	type Extension: record {
		sensor: string &log;
	};
}

function extension(path: string): Extension
	{
	return Extension($sensor="s1");
	}

@ifdef ( Log::PolicyHook )
hook even(rec: HostTest::Info, id: Log::ID, filter: Log::Filter)
	{
	if ( rec$last % 2 == 1 )
		break;
	}
@else
function even(rec: HostTest::Info): bool
	{
	return rec$last % 2 == 0;
	}
@endif

function change()
	{
	local hosttest = Log::get_filter(HostTest::LOG, "default");
	hosttest$path = "followed";
	hosttest$include = set("last", "id_orig_h", "color", "yes");
	hosttest$exclude = set("color");
	hosttest$field_name_map = table(["last"] = "number");
	hosttest$scope_sep = "_";
	hosttest$ext_prefix = "@";
	hosttest$ext_func = extension;
@ifdef ( Log::PolicyHook )
	hosttest$policy = even;
@else
	hosttest$pred = even;
@endif
	Log::add_filter(HostTest::LOG, hosttest);
	}

# Changes a default filter after the plugin's script has seen it.
function change_late()
	{
	local other = Log::get_filter(HostTest::OTHER, "default");
	other$exclude = set("orig_h");
	Log::add_filter(HostTest::OTHER, other);
	}

@ifdef ( zeek_init )
event zeek_init()
	{
	change();
	}

event zeek_init() &priority=-6
	{
	change_late();
	}
@else
event bro_init()
	{
	change();
	}

event bro_init() &priority=-6
	{
	change_late();
	}
@endif

# Pairs of filters with the same options: one writes the host's own JSON file, file_NAME.log,
# the other one sends the log sent_NAME. For tests/host/options.py, which compares them.

module Formats;

export {
	redef enum Log::ID += { LOG };

	type Info: record {
		ts: time &log;
		id: conn_id &log;
		text: string &log &optional;
		texts: vector of string &log &optional;
		color: transport_proto &log &optional;
	};

	# What each record begins with where extension fields are on.
	type Extension: record {
		sensor: string &log;
		at: time &log;
	};

	const endpoint = "" &redef;
}

function extension(path: string): Extension
	{
	return Extension($sensor="s1", $at=double_to_time(1.5));
	}

# Adds both filters, with what `change` makes of each.
function add_pair(name: string, config: table[string] of string, change: function(filter: Log::Filter))
	{
	local to_file: table[string] of string;
	local to_zeromq: table[string] of string;
	for ( key in config )
		{
		to_file[key] = config[key];
		to_zeromq[key] = config[key];
		}
	to_file["use_json"] = "T";
	to_zeromq["endpoint"] = endpoint;

	local written = Log::Filter($name=cat("file-", name), $path=cat("file_", name), $writer=Log::WRITER_ASCII,
	                            $interv=0sec);
	written$config = to_file;
	change(written);
	Log::add_filter(LOG, written);

	local sent = Log::Filter($name=cat("sent-", name), $path=cat("sent_", name), $writer=Log::WRITER_ZEROMQ,
	                         $interv=0sec);
	sent$config = to_zeromq;
	change(sent);
	Log::add_filter(LOG, sent);
	}

function nothing(filter: Log::Filter)
	{
	}

function names(filter: Log::Filter)
	{
	filter$field_name_map = table(["id__orig_h"] = "source \"address\"", ["ts"] = "@timestamp");
	filter$scope_sep = "__";
	}

function fewer(filter: Log::Filter)
	{
	filter$exclude = set("id.orig_p", "ts");
	}

function some(filter: Log::Filter)
	{
	filter$include = set("text", "ts");
	}

function more(filter: Log::Filter)
	{
	filter$ext_prefix = "x-";
	filter$ext_func = extension;
	filter$field_name_map = table(["x-sensor"] = "where");
	}

function create()
	{
	Log::create_stream(LOG, [$columns=Info, $path="formats"]);
	}

function write()
	{
	local none: table[string] of string;
	add_pair("plain", none, nothing);
	add_pair("names", none, names);
	add_pair("fewer", none, fewer);
	add_pair("some", none, some);
	add_pair("more", none, more);
	add_pair("unset", table(["json_include_unset_fields"] = "T"), nothing);
	add_pair("epoch", table(["json_timestamps"] = "JSON::TS_EPOCH"), more);
	add_pair("millis", table(["json_timestamps"] = "JSON::TS_MILLIS"), more);
	add_pair("iso8601", table(["json_timestamps"] = "JSON::TS_ISO8601"), more);
@ifdef ( JSON::TS_MILLIS_UNSIGNED )
	add_pair("unsigned", table(["json_timestamps"] = "JSON::TS_MILLIS_UNSIGNED"), more);
@endif
@ifdef ( JSON::StringEscapePolicy )
	add_pair("hex", table(["json_string_escape_policy"] = "JSON::STRING_ESCAPE_POLICY_HEX"), nothing);
	add_pair("pua", table(["json_string_escape_policy"] = "JSON::STRING_ESCAPE_POLICY_PUA"), nothing);
	add_pair("tsv", table(["json_string_escape_policy"] = "JSON::STRING_ESCAPE_POLICY_TSV"), nothing);
@endif

	local id = conn_id($orig_h=192.0.2.1, $orig_p=1234/tcp, $resp_h=[2001:db8::1], $resp_p=80/tcp);
	local times = vector(1699999999.123456, 0.0, -1.5, 951782400.5, 4102444800.999999);
	for ( i in times )
		Log::write(LOG, Info($ts=double_to_time(times[i]), $id=id));

	local texts = vector("", "plain", "back\\slash", "\\x07 is not \x07", "a\"b\tc\r\n", "\x01\x7f", "Gr\xc3\xbc\xc3\x9fe",
	                     "Gr\xc3\xbc\xc3\x9fe\n", "latin \xfc and \xc3\xbc", "\xc3\xbc\\\xff\\\xc3\xbc",
	                     "\xee\x80\x80", "\xf0\x9f\x98\x80 \xed\xa0\x80", "\xc2\x85", "\xe2\x82");
	for ( i in texts )
		Log::write(LOG, Info($ts=double_to_time(1.0), $id=id, $text=texts[i], $texts=vector(texts[i], "x"), $color=udp));
	}

@ifdef ( zeek_init )
event zeek_init() &priority=5
	{
	create();
	}

event zeek_init() &priority=-10
	{
	write();
	}
@else
event bro_init() &priority=5
	{
	create();
	}

event bro_init() &priority=-10
	{
	write();
	}
@endif

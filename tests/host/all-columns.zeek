# Makes the host's own logs have all columns: a stream's default filter can leave some out
# (Zeek 8's ssl), which the plugin's filter, added beside it, knows nothing of.

function replace_default_filters()
	{
	for ( id in Log::active_streams )
		{
		local f = Log::get_filter(id, "default");
		if ( f$name == "default" && f?$exclude )
			Log::add_filter(id, [$name="default"]);
		}
	}

@ifdef ( zeek_init )
event zeek_init() &priority=-4
	{
	replace_default_filters();
	}
@else
event bro_init() &priority=-4
	{
	replace_default_filters();
	}
@endif

# Makes the host's own logs have all columns and records: a stream's default filter can leave
# some out (Zeek 8's ssl, Bro 2.6's x509), which the plugin's filter, added beside it, knows
# nothing of.

function replace_default_filters()
	{
	for ( id in Log::active_streams )
		{
		if ( Log::get_filter(id, "default")$name == "default" )
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

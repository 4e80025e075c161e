# The host loads this at every start, as soon as it has found the plugin.

@load ./init

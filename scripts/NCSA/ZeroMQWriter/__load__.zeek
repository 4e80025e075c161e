# What "@load NCSA/ZeroMQWriter" and "@load packages" turn on.

@load ./logs-to-zeromq

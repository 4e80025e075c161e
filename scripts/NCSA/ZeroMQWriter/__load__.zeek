# What @load with NCSA/ZeroMQWriter, and with zkg's packages, turns on.

@load ./logs-to-zeromq

#!/bin/sh
#
# Which services the next connections use, and how much they transfer: bro-zmq, and jq.
#
#     ./top-services.sh [CONNECTIONS [ENDPOINT]]      default: 1000 tcp://127.0.0.1:12345
#
# Zeek connects to it: redef LogZeroMQ::endpoint = "tcp://127.0.0.1:12345";
set -eu
bro_zmq=${BRO_ZMQ:-bro-zmq}

"$bro_zmq" subscribe --quiet --json --count "${1:-1000}" --bind "${2:-tcp://127.0.0.1:12345}" conn |
    jq -r 'select(._path == "conn")
        | [.service // "-", ."id.resp_p", (.orig_bytes // 0) + (.resp_bytes // 0)] | @tsv' |
    awk -F '\t' '
        { count[$1 "\t" $2]++; bytes[$1 "\t" $2] += $3 }
        END { for (key in count) print count[key] "\t" bytes[key] "\t" key }' |
    sort -k1,1nr -k2,2nr -k3 |
    awk -F '\t' '
        BEGIN { printf "%12s %15s  %-16s %5s\n", "connections", "bytes", "service", "port" }
        { printf "%12d %15.0f  %-16s %5d\n", $1, $2, $3, $4 }'

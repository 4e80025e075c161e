#!/usr/bin/env bash
#
# Runs a Zeek over the captures, twice each, and keeps its logs as TSV and as JSON:
#
#   tests/data/logs/make-logs.sh [ZEEK]
#
# ZEEK is the zeek to run (default: the one on PATH). -D makes both runs draw the same
# random numbers, so that connections have the same uids and sets the same order.
set -euo pipefail

zeek=${1:-zeek}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Names are not to be looked up while reading captures.
export ZEEK_DNS_FAKE=1 TZ=UTC

# Logs about the run itself, not about the traffic.
unwanted=(loaded_scripts packet_filter stats capture_loss telemetry reporter)

find "$here" -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +
for capture in "$here"/../captures/*.pcap; do
    name=$(basename "$capture" .pcap)
    for form in tsv json; do
        mkdir -p "$scratch/$name/$form" && cd "$scratch/$name/$form"
        use_json=$([[ $form == json ]] && echo T || echo F)
        "$zeek" -D -C -r "$capture" local \
            "Site::local_nets={10.0.0.0/8,192.0.2.0/24,198.51.100.0/24,[2001:db8::]/32}" \
            "LogAscii::use_json=$use_json" 2>"$scratch/stderr" || { cat "$scratch/stderr"; exit 1; }
        for log in "${unwanted[@]}"; do rm -f "$log.log"; done
        # The time of the run would differ each time.
        sed -i -e '/^#open\t/d' -e '/^#close\t/d' ./*.log
        mkdir -p "$here/$name"
        rm -rf "${here:?}/$name/$form"
        cp -R "$scratch/$name/$form" "$here/$name/$form"
        find "$here/$name/$form" -mindepth 1 ! -name '*.log' -exec rm -rf {} +
    done
done

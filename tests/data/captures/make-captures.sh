#!/usr/bin/env bash
#
# Make the packet captures in this directory.
#
# Usage: make-captures.sh [-k] [-o DIR] [NAME...]
#
#   -k      keep the work directory (logs of all servers and clients)
#   -o DIR  write the captures there (default: the directory of this script)
#   NAME    make only these captures (default: all of them)
#
# Names: web dns mail ftp tls ssh dhcp-ntp infra apps windows tunnel weird
#
# Real servers and clients talk to each other over a bridge between network
# namespaces, and tcpdump writes down what crosses the bridge.  The captures
# "weird" and "tunnel" are crafted packets instead, which are never sent.
#
# Needs root, and Linux with network namespaces, veth and bridge.  Everything
# happens in mount, process and network namespaces of the script's own: it
# sees no network but the one it makes, works on a copy of /etc, and leaves no
# process, account or interface behind.  Keys and certificates are made anew
# at each run and thrown away with the work directory.
#
# Needs these Debian 12 packages (the script installs nothing):
#
#   bind9 bind9-dnsutils bsdutils busybox chrony curl dnsmasq-base ethtool
#   freeradius freeradius-utils freerdp2-x11 iproute2 isc-dhcp-client
#   krb5-admin-server krb5-kdc krb5-user lftp mariadb-client mariadb-server
#   microsocks mosquitto mosquitto-clients nginx-light ngircd ntpsec-ntpdate
#   openssh-client openssh-server openssl passwd procps python3
#   python3-aiosmtpd python3-pymodbus python3-scapy python3-serial-asyncio
#   samba sip-tester smbclient snmp snmpd sshpass swaks tcpdump
#   tigervnc-standalone-server tinyproxy udhcpc util-linux vsftpd xrdp xvfb
#
# Where AppArmor confines one of the daemons (named, chronyd, dhclient, ...),
# its profile must be set to complain mode first, since it would forbid the
# work directory.

# Backslashes at the end of a string and dollars in configuration files are
# meant as they are.
# shellcheck disable=SC1003,SC2016

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-/usr/bin/python3}
all=(web dns mail ftp tls ssh dhcp-ntp infra apps windows tunnel weird)

usage() {
    sed -n '3,/^$/s/^# \{0,1\}//p' "$0"
    exit "${1:-2}"
}

die() {
    echo "make-captures.sh: $*" >&2
    exit 1
}

clean_up() {
    if [[ $keep == yes ]]; then
        rm -rf "${work:?}/etc"
        echo "work directory kept: $work"
    else
        rm -rf "$work"
    fi
}

if [[ ${CAPTURES_INSIDE:-} != yes ]]; then
    out=$here
    keep=no
    while getopts ho:k option; do
        case $option in
            o) out=$(cd "$OPTARG" && pwd) ;;
            k) keep=yes ;;
            h) usage 0 ;;
            *) usage ;;
        esac
    done
    shift $((OPTIND - 1))
    [[ $(id -u) == 0 ]] || die "must run as root"
    missing=()
    for tool in busybox chpasswd chronyd curl dhclient dig dnsmasq ethtool freeradius ip kadmin.local kdb5_util \
        kinit krb5kdc lftp logger mariadb mariadb-install-db mariadbd microsocks mosquitto mosquitto_pub \
        named nginx ngircd nsupdate ntpdate openssl radclient rpcclient smbclient smbd snmpd snmpget \
        setsid sipp ss sshd sshpass swaks sysctl tcpdump tinyproxy udhcpc unshare useradd vsftpd xfreerdp xrdp Xvfb Xvnc; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    "$python" -c 'import aiosmtpd, pymodbus.server, scapy' 2>/dev/null || missing+=("modules of $python")
    [[ ${#missing[@]} == 0 ]] || die "not installed: ${missing[*]} (see the top of this script)"
    work=$(mktemp -d "${TMPDIR:-/tmp}/captures.XXXXXX")
    trap clean_up EXIT
    chmod 711 "$work"
    mkdir "$work/tools" "$work/made"
    cp -a /etc "$work/etc"
    cp -p "$here"/*.py "$here/make-captures.sh" "$work/tools"
    status=0
    CAPTURES_INSIDE=yes CAPTURES_WORK=$work unshare --mount --net --uts --pid --fork --kill-child --mount-proc \
        "$work/tools/make-captures.sh" "$@" || status=$?
    for capture in "$work"/made/*.pcap; do
        [[ ! -e $capture ]] || cp "$capture" "$out"
    done
    exit "$status"
fi

# ----------------------------------------------------------------- the stage

# The work directory is mounted here, so that the paths in servers' answers
# do not depend on where it is.
work=/mnt
tools=$work/tools
log=$work/log.txt
keys=$work/keys
files=$work/files
export LC_ALL=C.UTF-8 HOME=$work/home
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY

# Client hosts c1-c3, server hosts s1 and s2, and d1-d2 which ask for a lease.
declare -A addresses=(
    [c1]="10.20.0.11 10.20.0.12 2001:db8:20::11"
    [c2]="192.168.7.22 2001:db8:7::22"
    [c3]="172.16.33.33 fd00:33::33"
    [s1]="192.0.2.10 192.0.2.11 2001:db8:1::10"
    [s2]="198.51.100.20 203.0.113.5 2001:db8:2::20"
    [d1]=""
    [d2]=""
)

stage() {
    local host number=10 address
    mount --bind "$CAPTURES_WORK" "$work"
    mount --bind "$work/etc" /etc
    mount -t tmpfs -o mode=1777 tmpfs /tmp
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /var/log
    mkdir -p /run/sshd /run/netns /run/lock /run/xrdp /run/vsftpd/empty "$HOME" "$keys"
    hostname lab.example.test
    rm -f /etc/resolv.conf
    echo "nameserver 192.0.2.53" >/etc/resolv.conf
    cat >/etc/hosts <<-END
		127.0.0.1 localhost lab.example.test
		192.0.2.10 www.example.test mail.example.test kdc.example.test
		198.51.100.20 odd.example.test
	END
    sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
    useradd --no-create-home --home-dir "$HOME" --shell /bin/sh alice
    echo 'alice:Correct "Horse" 7' | chpasswd
    chown alice: "$HOME"
    "$python" "$tools/make_files.py" "$files"

    ip link set lo up
    sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
    ip link add br0 type bridge mcast_snooping 0
    ip link set br0 addrgenmode none up
    for host in c1 c2 c3 s1 s2 d1 d2; do
        ip netns add "$host"
        ip link add "v-$host" type veth peer name eth0 netns "$host"
        ip link set "v-$host" addrgenmode none master br0 up
        on "$host" sysctl -qw net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.all.accept_ra=0
        on "$host" ip link set lo up
        on "$host" ethtool -K eth0 tx off rx off tso off gso off gro off >/dev/null
        # The addresses for documentation of RFC 7042
        on "$host" ip link set eth0 address "00:00:5e:00:53:$number" addrgenmode none up
        number=$((number + 1))
        for address in ${addresses[$host]}; do
            give "$host" "$address"
        done
        if [[ $host != d* ]]; then
            on "$host" ip route add default dev eth0
            on "$host" ip -6 route add default dev eth0
        fi
    done
}

# give HOST ADDRESS: one more address for a host
give() {
    if [[ $2 == *:* ]]; then
        on "$1" ip addr replace "$2/128" dev eth0 nodad
    else
        on "$1" ip addr replace "$2/32" dev eth0
    fi
}

# on HOST COMMAND...: run a command on a host
on() {
    ip netns exec "$@"
}

# try HOST COMMAND...: run a client, which may be meant to fail
try() {
    local status=0
    printf '\n[%s] %s\n' "$1" "${*:2}" >>"$log"
    timeout -k 1 20 ip netns exec "$@" >>"$log" 2>&1 </dev/null || status=$?
    [[ $status == 0 ]] || echo "(exit $status)" >>"$log"
}

servers=()

# serve HOST COMMAND...: start a server that stays in the foreground
serve() {
    printf '\n[%s] %s &\n' "$1" "${*:2}" >>"$log"
    # In a session of its own, since some daemons signal their process group.
    setsid ip netns exec "$@" >>"$log" 2>&1 </dev/null &
    servers+=($!)
}

# wait_for HOST PORT...: wait until something listens there (UDP as well); a port
# that is named N times must have N sockets
wait_for() {
    local host=$1 port round
    local -A wanted=()
    shift
    for port; do
        wanted[$port]=$((${wanted[$port]:-0} + 1))
    done
    for port in "${!wanted[@]}"; do
        for ((round = 0; ; round++)); do
            (($(on "$host" ss -Hlntu "sport = :$port" | wc -l) < wanted[$port])) || break
            ((round < 100)) || die "nothing listens on port $port of $host; see the log (-k)"
            sleep 0.1
        done
    done
}

stop_servers() {
    local pid
    for pid in "${servers[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${servers[@]}"; do
        for _ in {1..30}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    servers=()
}

capture() {
    # Not the hop-by-hop packets, which are multicast housekeeping.
    tcpdump -Z root -i br0 -n -B 16384 -U --immediate-mode -w "$work/$1.pcap" "not ip6 proto 0" 2>"$work/tcpdump.log" &
    tcpdump=$!
    for _ in {1..50}; do
        ! grep -q 'listening on' "$work/tcpdump.log" || return 0
        sleep 0.1
    done
    die "tcpdump did not start"
}

end_capture() {
    stop_servers
    sleep 0.3
    kill -INT "$tcpdump"
    wait "$tcpdump" || true
    grep -q '^0 packets dropped' "$work/tcpdump.log" || echo "warning: incomplete, $(tail -n1 "$work/tcpdump.log")" >&2
}

# --------------------------------------------------------------------- keys

# key NAME [OPTION...]: a private key
key() {
    local name=$1
    shift
    [[ $# != 0 ]] || set -- -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    openssl genpkey -quiet "$@" -out "$keys/$name.key"
}

# certificate NAME SUBJECT SAN [FROM UNTIL]: a leaf signed by the CA
certificate() {
    local name=$1 subject=$2 san=$3
    shift 3
    printf '[leaf]\nbasicConstraints=critical,CA:false\nextendedKeyUsage=serverAuth,clientAuth\n%s\n' \
        "authorityInfoAccess=OCSP;URI:http://192.0.2.10:2560/" >"$keys/$name.ext"
    if [[ -n $san ]]; then
        printf 'subjectAltName=@san\n[san]\n%b\n' "$san" >>"$keys/$name.ext"
    fi
    openssl req -new -utf8 -key "$keys/$name.key" -subj "$subject" -out "$keys/$name.csr"
    openssl ca -batch -notext -utf8 -config "$keys/ca.conf" -extfile "$keys/$name.ext" -extensions leaf \
        -in "$keys/$name.csr" -out "$keys/$name.pem" ${1:+-startdate "$1"} ${2:+-enddate "$2"}
}

authority() {
    [[ ! -e $keys/ca.pem ]] || return 0
    (
        mkdir "$keys/new"
        touch "$keys/index.txt"
        cat >"$keys/ca.conf" <<-END
			[ca]
			default_ca = ours
			[ours]
			database = $keys/index.txt
			new_certs_dir = $keys/new
			certificate = $keys/ca.pem
			private_key = $keys/ca.key
			rand_serial = yes
			default_md = sha256
			default_days = 365
			policy = any
			string_mask = utf8only
			unique_subject = no
			copy_extensions = none
			preserve = yes
			[any]
			commonName = optional
			[req]
			distinguished_name = req
		END
        key ca
        openssl req -x509 -utf8 -days 3650 -key "$keys/ca.key" -out "$keys/ca.pem" \
            -subj '/C=DE/O=Prüfstelle "Test", Inc. \\ Co/CN=Example Test Root CA'
        key www
        certificate www '/C=DE/O=Grüße, Kommas & "Quotes"/OU=日本語 🦊/CN=www.example.test' \
            'DNS.1=www.example.test\nDNS.2=*.example.test\nDNS.3=xn--bcher-kva.example.test\nemail.1=alice@example.test\nIP.1=192.0.2.10\nIP.2=2001:db8:1::10\nURI.1=https://www.example.test/~x?y=z'
        key odd -algorithm RSA -pkeyopt rsa_keygen_bits:2048
        certificate odd '/O=back\\slash+OU=multi\+value/L=tab	inside/CN=o=d\/d; <x> #"1"/emailAddress=a,b@example.test' \
            'DNS.1=odd.example.test\nDNS.2=comma\,and"quote.example.test\nemail.1="q\\\\b"@example.test\nRID.1=1.2.3.4'
        key expired
        certificate expired '/CN=expired.example.test' 'DNS.1=expired.example.test' 20190101000000Z 20200101000000Z
        key future
        certificate future '/CN=future.example.test' '' 20400101000000Z 20491231000000Z
        key soon
        certificate soon '/CN=soon.example.test/O=Soon to expire' 'DNS.1=soon.example.test' \
            "$(date -u -d '-1 year' +%Y%m%d%H%M%SZ)" "$(date -u -d '+5 days' +%Y%m%d%H%M%SZ)"
        key pss -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048
        certificate pss '/CN=pss.example.test' 'DNS.1=pss.example.test'
        key edwards -algorithm ED25519
        certificate edwards '/CN=ed25519.example.test' 'DNS.1=ed25519.example.test'
        key client
        certificate client '/CN=Zoë "Client" Åberg/UID=zoe' 'email.1=zoe@example.test'
        key revoked
        certificate revoked '/CN=revoked.example.test' 'DNS.1=revoked.example.test'
        openssl ca -batch -config "$keys/ca.conf" -revoke "$keys/revoked.pem" -crl_reason keyCompromise
        key lonely -algorithm RSA -pkeyopt rsa_keygen_bits:1024
        openssl req -x509 -utf8 -days 30 -key "$keys/lonely.key" -out "$keys/lonely.pem" \
            -subj '/CN=self-signed, weak/O=𝔘𝔫𝔦𝔠𝔬𝔡𝔢' -addext 'subjectAltName=IP:198.51.100.20'
    ) >>"$log" 2>&1 || die "could not make the certificates"
}

# ----------------------------------------------------------------- captures

make_web() {
    local address target number
    authority
    cat >"$work/nginx.conf" <<-END
		daemon off; pid $work/nginx.pid; error_log $work/nginx.log; user root;
		events {}
		http {
		  access_log off; charset utf-8;
		  types { text/html html; text/plain txt; image/png png; image/gif gif; application/json json;
		          application/pdf pdf; text/xml xml; image/svg+xml svg; application/zip zip;
		          application/x-msdownload exe dll; audio/x-wav wav; }
		  server {
		    listen 192.0.2.10:80; listen 192.0.2.11:8080; listen [2001:db8:1::10]:80;
		    root $files; autoindex on; large_client_header_buffers 4 64k;
		    location /private/ { auth_basic "Private \"Area\""; auth_basic_user_file /dev/null; }
		    location /put/ { dav_methods PUT DELETE MKCOL; create_full_put_path on; root $work/put; }
		    location /go { return 302 http://198.51.100.20/; }
		    location /fail { return 503; }
		  }
		}
	END
    mkdir -p "$work/put"
    chmod 777 "$work/put"
    cat >"$work/tinyproxy.conf" <<-END
		Port 3128
		Listen 198.51.100.20
		Timeout 5
		ViaProxyName "proxy.example.test"
	END
    capture web
    serve s1 nginx -c "$work/nginx.conf"
    serve s2 "$python" "$tools/web_odd.py" serve 198.51.100.20 80
    serve s2 "$python" "$tools/web_odd.py" serve 2001:db8:2::20 8000
    serve s2 tinyproxy -d -c "$work/tinyproxy.conf"
    wait_for s1 80 80 8080
    wait_for s2 80 8000 3128

    local -a curl=(curl -sS -g --max-time 5 -o /dev/null)
    for target in index.html big.txt numbers.json page.xml picture.png dot.gif paper.pdf setup.exe; do
        try c1 "${curl[@]}" -A "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0" \
            "http://192.0.2.10/$target"
    done
    try c1 "${curl[@]}" -A "Opera/9.80 (Windows NT 6.1) Presto/2.12.388 Version/12.18" http://192.0.2.10/helper.dll
    try c2 "${curl[@]}" "http://192.0.2.11:8080/{bundle.zip,notes.txt.gz,random.bin,latin1.txt,empty.txt,sound.wav}"
    try c2 "${curl[@]}" -I http://192.0.2.11:8080/setup.exe
    try c2 "${curl[@]}" -r 0-99,200-299 http://192.0.2.11:8080/big.txt
    try c2 "${curl[@]}" -r 1000-1999 http://192.0.2.11:8080/big.txt
    for address in 2001:db8:20::11 2001:db8:7::22; do
        [[ $address == *:20::* ]] && host=c1 || host=c2
        try "$host" "${curl[@]}" -A 'Wget/1.21.3' "http://[2001:db8:1::10]/{drawing.svg,script.sh,setup.exe}" \
            "http://[2001:db8:1::10]/gr%C3%BC%C3%9Fe%20%F0%9F%98%80.html"
    done
    try c3 "${curl[@]}" -u 'käthe:pass"word\' http://192.0.2.10/private/x
    try c3 "${curl[@]}" -L http://192.0.2.10/go http://192.0.2.10/fail http://192.0.2.10/missing
    try c3 "${curl[@]}" -T "$files/picture.png" http://192.0.2.10/put/picture.png
    try c3 "${curl[@]}" -T "$files/setup.exe" -H 'Transfer-Encoding: chunked' "http://192.0.2.10/put/s%22%5C.exe"
    try c3 "${curl[@]}" -F 'a=@'"$files/paper.pdf;filename=\"q\\\"uote.pdf\"" -F "b=ünïcode" http://198.51.100.20/upload
    try c3 "${curl[@]}" -X DELETE http://192.0.2.10/put/picture.png
    try c3 "${curl[@]}" --compressed -H 'Host: über.example.test' http://198.51.100.20/gzip
    try c3 "${curl[@]}" --http1.0 http://198.51.100.20/old
    try c1 "${curl[@]}" -x http://198.51.100.20:3128 http://192.0.2.10/index.html
    try c1 "${curl[@]}" -p -x http://198.51.100.20:3128 http://192.0.2.11:8080/page.xml
    try c2 "$python" "$tools/web_odd.py" ask 198.51.100.20 80
    try c2 "$python" "$tools/web_odd.py" ask 2001:db8:2::20 8000
    # Enough attempts at SQL injection for a notice
    local -a urls=()
    for ((number = 1; number <= 52; number++)); do
        urls+=(-o /dev/null "http://192.0.2.10/fail?id=$number'+UNION+SELECT+'x")
    done
    try c1 curl -sS -g -A 'sqlmap/1.7' --interface 10.20.0.12 "${urls[@]}"
    end_capture
}

zone() {
    cat <<-'END'
		$TTL 300
		@ SOA ns1 host\.master 1 3600 600 86400 60
		@ NS ns1
		@ NS ns2
		ns1 A 192.0.2.53
		ns1 AAAA 2001:db8:1::53
		ns2 A 203.0.113.53
		@ MX 10 mail
		@ MX 20 mail.bücher
		@ TXT "v=spf1 ip4:192.0.2.0/24 -all"
		@ CAA 0 issue "ca.example.test; policy=\"ev\""
		www A 192.0.2.10
		www AAAA 2001:db8:1::10
		mail A 192.0.2.25
		a1 CNAME a2
		a2 CNAME a3
		a3 CNAME a4.deeper
		a4.deeper CNAME www
		loop1 CNAME loop2
		loop2 CNAME loop1
		dangling CNAME nothing.here
		txt TXT "plain" "two \"quoted\" words" "back\\slash" ""
		txt TXT "utf-8: grüße 日本 🦊" "\000\001\007\009\010\027[31m\127\128\254\255"
		txt TXT "{\"json\": [1, null]}" "comma, semicolon; (empty) -"
		long TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789abcde"
		sp\032ace A 192.0.2.61
		nul\000byte A 192.0.2.62
		q\"uote\\ A 192.0.2.63
		dot\.inside A 192.0.2.64
		\255\254\128 A 192.0.2.65
		grüße A 192.0.2.66
		_sip._udp SRV 0 5 5060 www
		_25._tcp.mail TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
		host SSHFP 4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
		host HINFO "PDP-11 \"x\"" "RSX\\11é"
		host LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
		host RP al\.ice txt
		enum NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:\\\\1@example.test!" .
		svc HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.10 ipv6hint=2001:db8:1::10 port=8443
		svc SVCB 0 www
		dn DNAME www
		kx URI 10 1 "https://example.test/\"x\"?y=é"
		odd TYPE65534 \# 4 DEADBEEF
		*.wild A 192.0.2.99
		child NS ns.child
		ns.child A 198.51.100.99
	END
    local number
    for number in {1..40}; do
        echo "many A 10.99.0.$number"
        echo "many AAAA 2001:db8:99::$number"
    done
    for number in {1..90}; do
        echo "lots TXT \"entry number $number of a great number of entries\""
    done
}

make_dns() {
    local kind name
    local -a dig=(dig +tries=1 +time=2)
    give s1 192.0.2.53
    give s1 2001:db8:1::53
    give s2 203.0.113.53
    give s2 198.51.100.53
    mkdir -p "$work/dns1" "$work/dns2"
    # A key in the form that tsig-keygen writes.
    printf 'key "update.\\"key" { algorithm hmac-sha256; secret "%s"; };\n' \
        "$(openssl rand -base64 32)" >"$work/dns1/tsig.key"
    zone >"$work/dns1/example.zone"
    printf '%s\n' '$TTL 60' '@ SOA ns1.example.test. x 1 3600 600 86400 60' '@ NS ns1.example.test.' \
        '10 PTR www.example.test.' '11 PTR q\"x.example.test.' \
        '0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0 PTR www.example.test.' >"$work/dns1/reverse.zone"
    printf '%s\n' '$TTL 60' '@ SOA ns1.example.test. x 1 3600 600 86400 60' '@ NS ns1.example.test.' \
        'www A 192.0.2.10' >"$work/dns1/signed.zone"
    cat >"$work/dns1/named.conf" <<-END
		include "$work/dns1/tsig.key";
		options { directory "$work/dns1"; listen-on { 192.0.2.53; }; listen-on-v6 { 2001:db8:1::53; };
		  recursion no; dnssec-validation no; allow-transfer { any; }; pid-file none; session-keyfile none;
		  check-names primary ignore; empty-zones-enable no; minimal-responses no; version "odd \"1\" é";
		  also-notify { 203.0.113.53; }; notify-source 192.0.2.53; notify explicit; max-udp-size 1400; key-directory "$work/dns1"; };
		controls {};
		zone "example.test" { type primary; file "example.zone"; allow-update { key "update.\"key"; }; };
		zone "2.0.192.in-addr.arpa" { type primary; file "reverse.zone"; };
		zone "8.b.d.0.1.0.0.2.ip6.arpa" { type primary; file "reverse.zone"; };
		zone "signed.test" { type primary; file "signed.zone"; dnssec-policy default; inline-signing yes; };
	END
    cat >"$work/dns2/named.conf" <<-END
		options { directory "$work/dns2"; listen-on { 203.0.113.53; }; listen-on-v6 { none; };
		  recursion no; dnssec-validation no; pid-file none; session-keyfile none; empty-zones-enable no;
		  transfer-source 203.0.113.53; query-source address 203.0.113.53; check-names secondary ignore; };
		controls {};
		zone "example.test" { type secondary; primaries { 192.0.2.53; }; file "copy.zone"; };
	END
    capture dns
    serve s1 named -g -n 1 -c "$work/dns1/named.conf"
    wait_for s1 53
    sleep 1
    serve s2 named -g -n 1 -c "$work/dns2/named.conf"
    serve s2 dnsmasq -d --no-resolv --no-hosts --user=root --server=192.0.2.53 --listen-address=198.51.100.53 \
        --bind-interfaces --address=/blocked.test/ --host-record=local.test,10.5.5.5,fd00::5 --txt-record=local.test,'a "b" é'
    wait_for s2 53
    sleep 1
    for kind in SOA NS MX TXT CAA ANY; do
        try c1 "${dig[@]}" @192.0.2.53 example.test "$kind"
    done
    for name in www:A www:AAAA a1:A loop1:A dangling:A txt:TXT long:TXT _sip._udp:SRV _25._tcp.mail:TLSA host:SSHFP \
        host:HINFO host:LOC host:RP enum:NAPTR svc:HTTPS svc:SVCB x.dn:A kx:URI odd:TYPE65534 any.wild:A x.child:A \
        no-such-name:A www:MX many:A many:AAAA lots:TXT 'sp\032ace:A' 'nul\000byte:A' 'q\"uote\\:A' 'dot\.inside:A' \
        '\255\254\128:A' 'WwW:A' 'ctl\027\007\127:A' '{\"a\":1}:A' '\195\188ber:A' '\237\160\128:A' 'missing\\\"x:TXT'; do
        try c1 "${dig[@]}" +noidnin @192.0.2.53 "${name%:*}.example.test" "${name##*:}"
    done
    for name in 'txt:TXT' 'many:A' 'a1:AAAA' 'grüße:A' '\255\254\128:A' 'nope:A'; do
        try c2 "${dig[@]}" +noidnin @2001:db8:1::53 "${name%:*}.example.test" "${name##*:}"
        try c3 "${dig[@]}" +noidnin @198.51.100.53 "${name%:*}.example.test" "${name##*:}"
    done
    try c1 "${dig[@]}" @192.0.2.53 +tcp +keepopen www.example.test A many.example.test A txt.example.test TXT
    try c1 "${dig[@]}" @192.0.2.53 +dnssec signed.test DNSKEY
    try c1 "${dig[@]}" @192.0.2.53 +dnssec +subnet=203.0.113.0/24 +nsid www.signed.test A
    try c1 "${dig[@]}" @192.0.2.53 +dnssec missing.signed.test AAAA
    try c1 "${dig[@]}" @192.0.2.53 +norec +cd +ad other.zone.invalid A
    try c1 "${dig[@]}" @192.0.2.53 version.bind CHAOS TXT
    try c1 "${dig[@]}" @192.0.2.53 +opcode=status example.test
    try c1 "${dig[@]}" @192.0.2.53 +noedns -x 192.0.2.10
    try c1 "${dig[@]}" @192.0.2.53 -x 192.0.2.77
    try c1 "${dig[@]}" @2001:db8:1::53 -x 2001:db8:1::10
    try c1 "${dig[@]}" @192.0.2.53 +bufsize=512 +ignore lots.example.test TXT
    try c1 "${dig[@]}" @203.0.113.53 www.example.test AAAA
    try c2 "${dig[@]}" @203.0.113.53 example.test AXFR
    try c3 "${dig[@]}" @198.51.100.53 blocked.test A
    try c3 "${dig[@]}" @198.51.100.53 local.test AAAA
    try c3 "${dig[@]}" @198.51.100.53 local.test TXT
    try c3 "${dig[@]}" @198.51.100.99 +time=1 nobody.answers.test A
    printf '%s\n' 'server 192.0.2.53' 'zone example.test' 'update add new.example.test 60 A 10.1.1.1' \
        'update add new.example.test 60 TXT "caf\195\169 \"x\""' 'update delete www.example.test AAAA' send \
        >"$work/dns1/update.txt"
    try c1 nsupdate -k "$work/dns1/tsig.key" "$work/dns1/update.txt"
    try c1 nsupdate "$work/dns1/update.txt"
    sleep 1
    end_capture
}

make_mail() {
    authority
    capture mail
    serve s1 "$python" "$tools/mail_odd.py" serve 192.0.2.10 25 "$keys/www.pem" "$keys/www.key"
    serve s1 "$python" "$tools/mail_odd.py" serve 2001:db8:1::10 587 "$keys/www.pem" "$keys/www.key"
    wait_for s1 25 587
    try c2 "$python" "$tools/mail_odd.py" send 192.0.2.10 25 "$files"
    try c1 "$python" "$tools/mail_odd.py" send 2001:db8:1::10 587 "$files"
    try c1 swaks --server 192.0.2.10 --from swaks@example.test --to a@example.test,b@example.test,c@example.test \
        --header 'Subject: swaks ünïcode — "quotes"' --attach-type image/gif --attach "@$files/dot.gif" --body 'hällo'
    try c3 curl -sS --max-time 5 -k --ssl-reqd --tls-max 1.2 smtp://192.0.2.10 --mail-from tls@example.test \
        --mail-rcpt tls@example.test -T "$files/latin1.txt"
    try c3 swaks --server 192.0.2.10 --to nobody@example.test --ehlo 'wéird "host" \'
    try c3 swaks --server 192.0.2.10 --quit-after RCPT --to early@example.test
    try c1 curl -sS --max-time 5 'smtp://[2001:db8:1::10]:587' --mail-from curl@example.test \
        --mail-rcpt one@example.test --mail-rcpt two@example.test -T "$files/latin1.txt"
    end_capture
}

make_ftp() {
    authority
    local ftproot=$HOME/ftp
    mkdir -p "$ftproot/incoming" "$work/empty"
    cp "$files"/* "$ftproot"
    chown -R alice: "$ftproot"
    chmod 755 "$HOME" "$work/empty"
    chmod a-w "$ftproot"
    local base="background=NO
anonymous_enable=YES
anon_root=$ftproot
no_anon_password=NO
local_enable=YES
write_enable=YES
local_root=$ftproot/incoming
chroot_local_user=YES
allow_writeable_chroot=YES
secure_chroot_dir=$work/empty
ftpd_banner=Welcome to \"FTP\" \\ tést
connect_from_port_20=YES
pam_service_name=ftplab
ssl_enable=YES
force_local_logins_ssl=NO
force_local_data_ssl=NO
require_ssl_reuse=NO
rsa_cert_file=$keys/odd.pem
rsa_private_key_file=$keys/odd.key
isolate=NO
seccomp_sandbox=NO
xferlog_enable=NO"
    printf '%s\n' "$base" listen=YES listen_address=192.0.2.10 >"$work/vsftpd4.conf"
    printf '%s\n' "$base" listen=NO listen_ipv6=YES listen_address6=2001:db8:1::10 >"$work/vsftpd6.conf"
    printf 'auth required pam_unix.so\naccount required pam_unix.so\n' >/etc/pam.d/ftplab
    cp "$files/setup.exe" "$files/big.txt" "$files/bundle.zip" "$ftproot/incoming"
    chown -R alice: "$ftproot/incoming"
    capture ftp
    serve s1 vsftpd "$work/vsftpd4.conf"
    serve s1 vsftpd "$work/vsftpd6.conf"
    wait_for s1 21 21
    try c1 "$python" "$tools/ftp_client.py" 192.0.2.10 21 alice 'Correct "Horse" 7' "$files"
    try c2 "$python" "$tools/ftp_client.py" 2001:db8:1::10 21 alice 'Correct "Horse" 7' "$files"
    try c3 lftp -c "set ftp:ssl-allow no; set net:max-retries 1; set net:timeout 3; lcd $work; \
        open ftp://192.0.2.10; cls -l; get helper.dll; get paper.pdf; get missing; bye"
    try c3 curl -sS --max-time 5 -o /dev/null --ftp-port - ftp://192.0.2.10/sound.wav
    end_capture
}

# tls_client HOST ADDRESS:PORT OPTION...: one request over TLS
tls_client() {
    local host=$1 address=$2
    shift 2
    printf '\n[%s] s_client %s %s\n' "$host" "$address" "$*" >>"$log"
    { sleep 0.3; printf 'GET /tls HTTP/1.0\r\n\r\n'; sleep 0.3; } |
        timeout 5 ip netns exec "$host" openssl s_client -connect "$address" "$@" >>"$log" 2>&1 || true
}

make_tls() {
    local port name
    authority
    cat >"$work/nginx-tls.conf" <<-END
		daemon off; pid $work/nginx-tls.pid; error_log $work/nginx-tls.log; user root;
		events {}
		http {
		  access_log off; root $files; ssl_session_cache shared:s:1m; ssl_trusted_certificate $keys/ca.pem;
		  server { listen 192.0.2.10:443 ssl http2; listen [2001:db8:1::10]:443 ssl http2; server_name www.example.test;
		    ssl_certificate $keys/www-chain.pem; ssl_certificate_key $keys/www.key; ssl_protocols TLSv1.2;
		    ssl_stapling on; ssl_stapling_file $keys/www.ocsp; }
		  server { listen 192.0.2.11:443 ssl; server_name www.example.test;
		    ssl_certificate $keys/www-chain.pem; ssl_certificate_key $keys/www.key; ssl_protocols TLSv1.3; }
		  server { listen 192.0.2.11:8443 ssl; server_name odd.example.test;
		    ssl_certificate $keys/odd.pem; ssl_certificate_key $keys/odd.key; ssl_protocols TLSv1.2 TLSv1.3; }
		}
	END
    cat "$keys/www.pem" "$keys/ca.pem" >"$keys/www-chain.pem"
    local -a ocsp=(openssl ocsp -index "$keys/index.txt" -CA "$keys/ca.pem" -rsigner "$keys/ca.pem" -rkey "$keys/ca.key")
    openssl ocsp -issuer "$keys/ca.pem" -cert "$keys/www.pem" -reqout "$keys/www.req" -no_nonce >>"$log" 2>&1
    "${ocsp[@]}" -reqin "$keys/www.req" -respout "$keys/www.ocsp" -ndays 7 >>"$log" 2>&1
    capture tls
    serve s1 nginx -c "$work/nginx-tls.conf"
    serve s1 "${ocsp[@]}" -port 2560 -ndays 7
    local -a server=(openssl s_server -www -quiet)
    serve s2 "${server[@]}" -accept 203.0.113.5:443 -cert "$keys/expired.pem" -key "$keys/expired.key" -no_tls1_3
    serve s2 "${server[@]}" -accept 198.51.100.20:993 -cert "$keys/edwards.pem" -key "$keys/edwards.key" -no_tls1_3
    serve s2 "${server[@]}" -accept 198.51.100.20:995 -cert "$keys/pss.pem" -key "$keys/pss.key" -no_tls1_3
    serve s2 "${server[@]}" -accept 198.51.100.20:636 -cert "$keys/soon.pem" -key "$keys/soon.key" -no_tls1_3
    serve s2 "${server[@]}" -accept 198.51.100.20:990 -cert "$keys/lonely.pem" -key "$keys/lonely.key" -tls1 \
        -cipher 'ALL:@SECLEVEL=0'
    serve s2 "${server[@]}" -accept '[2001:db8:2::20]:443' -cert "$keys/future.pem" -key "$keys/future.key" -no_tls1_3
    serve s2 "${server[@]}" -accept 198.51.100.20:8444 -cert "$keys/www.pem" -key "$keys/www.key" -no_tls1_3 \
        -Verify 2 -CAfile "$keys/ca.pem"
    serve s2 "${server[@]}" -accept 198.51.100.20:8445 -nocert -psk 0123456789abcdef -psk_hint 'hint "é"' -no_tls1_3
    serve s2 openssl s_server -quiet -accept 198.51.100.20:4433 -dtls1_2 -cert "$keys/odd.pem" -key "$keys/odd.key"
    serve s2 "${server[@]}" -accept 198.51.100.20:8446 -cert "$keys/revoked.pem" -key "$keys/revoked.key" -no_tls1_3
    wait_for s1 443 443 443 8443 2560
    wait_for s2 443 443 993 995 636 990 8444 8445 8446 4433

    local -a curl=(curl -sS --max-time 5 -o /dev/null --cacert "$keys/ca.pem")
    local -a to=(--resolve www.example.test:443:192.0.2.10)
    try c1 "${curl[@]}" "${to[@]}" --tls-max 1.2 https://www.example.test/index.html
    try c1 "${curl[@]}" "${to[@]}" --http1.1 --cert-status https://www.example.test/numbers.json
    try c1 "${curl[@]}" --resolve www.example.test:443:192.0.2.11 https://www.example.test/index.html
    try c2 "${curl[@]}" --resolve 'www.example.test:443:[2001:db8:1::10]' https://www.example.test/picture.png
    try c2 "${curl[@]}" --resolve xn--bcher-kva.example.test:443:192.0.2.10 https://bücher.example.test/
    try c2 "${curl[@]}" https://192.0.2.10/index.html
    try c3 "${curl[@]}" --tls-max 1.2 --resolve odd.example.test:8443:192.0.2.11 https://odd.example.test:8443/
    try c3 "${curl[@]}" --resolve odd.example.test:8443:192.0.2.11 https://odd.example.test:8443/
    try c3 "${curl[@]}" --resolve expired.example.test:443:203.0.113.5 https://expired.example.test/
    try c3 curl -sS -k --max-time 5 -o /dev/null https://203.0.113.5/

    tls_client c1 192.0.2.10:443 -tls1_2 -servername www.example.test -status -sess_out "$work/session.pem"
    tls_client c1 192.0.2.10:443 -tls1_2 -servername www.example.test -sess_in "$work/session.pem"
    tls_client c1 192.0.2.11:443 -tls1_3 -servername www.example.test -sess_out "$work/session.pem"
    tls_client c1 192.0.2.11:443 -tls1_3 -servername www.example.test -sess_in "$work/session.pem"
    tls_client c1 192.0.2.10:443 -tls1_2 -servername 'sni "quoted" \ é' -alpn 'h2,odd "x",http/1.1'
    tls_client c1 192.0.2.11:443 -tls1_2
    tls_client c1 192.0.2.10:443 -tls1_3
    tls_client c2 192.0.2.10:443 -tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305 -curves P-384
    for port in 993 995 636 8446; do
        tls_client c2 "198.51.100.20:$port" -servername "port$port.example.test"
    done
    tls_client c2 198.51.100.20:990 -tls1 -cipher 'ALL:@SECLEVEL=0'
    tls_client c2 '[2001:db8:2::20]:443' -servername future.example.test
    tls_client c3 198.51.100.20:8444 -cert "$keys/client.pem" -key "$keys/client.key"
    tls_client c3 198.51.100.20:8444
    tls_client c3 198.51.100.20:8445 -tls1_2 -psk 0123456789abcdef -psk_identity 'identity "é" \'
    tls_client c3 198.51.100.20:4433 -dtls1_2
    for name in www revoked expired; do
        try c2 openssl ocsp -issuer "$keys/ca.pem" -cert "$keys/$name.pem" -url http://192.0.2.10:2560/ -CAfile "$keys/ca.pem"
    done
    end_capture
}

make_ssh() {
    local kind host
    local password='Correct "Horse" 7'
    mkdir -p "$HOME/.ssh" "$work/ssh"
    for kind in ed25519 rsa ecdsa; do
        ssh-keygen -q -t "$kind" -N '' -C '' -f "$work/ssh/host_$kind"
        ssh-keygen -q -t "$kind" -N '' -C "test ünï \"$kind\"" -f "$work/ssh/id_$kind"
        cat "$work/ssh/id_$kind.pub" >>"$HOME/.ssh/authorized_keys"
    done
    chown -R alice: "$HOME/.ssh"
    chmod 755 "$HOME"
    printf 'authorized \342\234\223 "users" only\n' >"$work/ssh/banner"
    printf 'auth required pam_unix.so\naccount required pam_unix.so\nsession optional pam_permit.so\n' >/etc/pam.d/sshd
    local base="HostKey $work/ssh/host_ed25519
HostKey $work/ssh/host_rsa
HostKey $work/ssh/host_ecdsa
PidFile none
UsePAM yes
PrintMotd no
PasswordAuthentication yes
MaxAuthTries 6
MaxStartups 100
Subsystem sftp internal-sftp"
    printf '%s\n' "$base" 'ListenAddress 192.0.2.10:22' 'ListenAddress [2001:db8:1::10]:22' >"$work/ssh/sshd1.conf"
    printf '%s\n' "$base" 'ListenAddress 198.51.100.20:2222' "Banner $work/ssh/banner" \
        'VersionAddendum Tést "x" \' 'Ciphers aes128-ctr' 'MACs hmac-sha2-512' \
        'KexAlgorithms diffie-hellman-group14-sha256,curve25519-sha256' >"$work/ssh/sshd2.conf"
    capture ssh
    serve s1 /usr/sbin/sshd -D -e -f "$work/ssh/sshd1.conf"
    serve s2 /usr/sbin/sshd -D -e -f "$work/ssh/sshd2.conf"
    wait_for s1 22 22
    wait_for s2 2222
    local -a ssh=(-F none -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null -oConnectTimeout=5
        -oIdentitiesOnly=yes -oLogLevel=ERROR)
    local -a password_only=(-oPubkeyAuthentication=no -oPreferredAuthentications=password)
    for kind in ed25519 rsa ecdsa; do
        try c1 ssh "${ssh[@]}" -i "$work/ssh/id_$kind" -oHostKeyAlgorithms="ssh-ed25519,rsa-sha2-512" alice@192.0.2.10 'echo hello'
    done
    try c2 sshpass -p "$password" ssh "${ssh[@]}" "${password_only[@]}" alice@2001:db8:1::10 'id; uptime'
    try c2 sshpass -p "$password" ssh "${ssh[@]}" "${password_only[@]}" -p 2222 alice@198.51.100.20 'seq 1 200'
    try c3 ssh "${ssh[@]}" -i "$work/ssh/id_rsa" -p 2222 -C -oKexAlgorithms=diffie-hellman-group14-sha256 alice@198.51.100.20 true
    try c3 scp "${ssh[@]}" -i "$work/ssh/id_ed25519" "$files/picture.png" 'alice@192.0.2.10:upload.png'
    try c3 scp "${ssh[@]}" -i "$work/ssh/id_ed25519" 'alice@[2001:db8:1::10]:upload.png' "$work/ssh/download.png"
    for host in alice root "nobody-hére"; do
        try c3 sshpass -p 'wrong "password"' ssh "${ssh[@]}" "${password_only[@]}" "$host@192.0.2.10" true
    done
    try c3 ssh "${ssh[@]}" -oBatchMode=yes alice@192.0.2.10 true
    try c1 ssh "${ssh[@]}" -p 2222 -c aes256-gcm@openssh.com alice@198.51.100.20 true
    # A tunnel with SOCKS: version 4 and 5 through the same client
    serve c2 ssh "${ssh[@]}" -N -i "$work/ssh/id_ed25519" -D 192.168.7.22:1080 alice@192.0.2.10
    wait_for c2 1080
    try c3 curl -sS --max-time 2 --socks4 192.168.7.22:1080 http://198.51.100.20:2222/
    try c3 curl -sS --max-time 2 --socks5-hostname 192.168.7.22:1080 http://odd.example.test:2222/
    end_capture
}

make_dhcp_ntp() {
    give s1 10.77.0.1
    on s1 ip addr replace 10.77.0.1/24 dev eth0
    cat >"$work/lease.sh" <<-'END'
		#!/bin/sh
		# Sets the address of a lease; called by udhcpc and by dhclient.
		case "${1:-}$reason" in
		    bound* | renew* | BOUND | RENEW | REBIND | REBOOT)
		        ip addr flush dev eth0
		        ip addr add "${ip:-$new_ip_address}/24" dev eth0 ;;
		    deconfig | RELEASE | STOP) ip addr flush dev eth0 ;;
		esac
	END
    chmod 755 "$work/lease.sh"
    cat >"$work/dhclient.conf" <<-'END'
		send host-name "caf\303\251 \"host\" \\ \377";
		send dhcp-client-identifier "id\001\002";
		send vendor-class-identifier "vendor \"class\" 1.0";
		request subnet-mask, routers, domain-name, domain-name-servers, host-name, ntp-servers, domain-search;
		send dhcp-lease-time 120;
	END
    capture dhcp-ntp
    serve s1 dnsmasq -d --port=0 --user=root --dhcp-authoritative --dhcp-range=10.77.0.100,10.77.0.150,255.255.255.0,2m \
        --dhcp-leasefile="$work/leases" --dhcp-no-override --log-dhcp --domain='lab.example.test' --interface=eth0 \
        --dhcp-option=option:router,10.77.0.1 --dhcp-option=option:dns-server,192.0.2.53,198.51.100.53 \
        --dhcp-option=option:ntp-server,192.0.2.123 --dhcp-option=option:domain-search,a.test,b.test \
        --dhcp-host=00:00:5e:00:53:16,10.77.0.200,fixed-host --no-ping --dhcp-sequential-ip \
        --dhcp-option-force=208,f1:00:74:7e
    wait_for s1 67
    try d1 dhclient -1 -4 -sf "$work/lease.sh" -cf "$work/dhclient.conf" -lf "$work/dhclient.leases" -pf "$work/dhclient.pid" eth0
    try d1 dhclient -4 -r -sf "$work/lease.sh" -cf "$work/dhclient.conf" -lf "$work/dhclient.leases" -pf "$work/dhclient.pid" eth0
    try d1 dhclient -1 -4 -sf "$work/lease.sh" -cf "$work/dhclient.conf" -lf "$work/dhclient.leases" -pf "$work/dhclient.pid" eth0
    serve d2 udhcpc -f -i eth0 -s "$work/lease.sh" -x hostname:ünï-höst -F 'fqdn.lab "x".test' -V 'udhcp é' -R -O search -O ntpsrv
    sleep 2
    kill -USR1 "${servers[-1]}" # renew
    sleep 1
    kill -USR2 "${servers[-1]}" # release
    sleep 1
    # An address that the server does not know: it says no, and a new one follows
    printf 'lease { interface "eth0"; fixed-address 10.99.99.99; renew never; rebind never; expire never; }\n' >"$work/old.leases"
    try d2 dhclient -1 -4 -sf "$work/lease.sh" -cf "$work/dhclient.conf" -lf "$work/old.leases" -pf "$work/dhclient2.pid" eth0
    try d2 dhclient -4 -x -pf "$work/dhclient2.pid" eth0
    try d2 busybox udhcpc -n -q -t 1 -T 1 -i eth0 -s "$work/lease.sh" -C -O 249 -x 0x3d:ff00112233

    give s1 192.0.2.123
    give s1 2001:db8:1::123
    give s2 198.51.100.123
    printf '1 SHA1 HEX:0123456789abcdef0123456789abcdef01234567\n2 MD5 ASCII:secret\n' >"$work/chrony.keys"
    chmod 600 "$work/chrony.keys"
    printf '%s\n' 'local stratum 1' 'allow' 'cmdport 0' "keyfile $work/chrony.keys" 'port 123' 'user root' \
        "pidfile $work/chrony1.pid" 'broadcast 4 10.77.0.255' \
        'peer 198.51.100.20 minpoll 0 maxpoll 1 key 2' >"$work/chrony1.conf"
    printf '%s\n' 'local stratum 9' 'allow' 'cmdport 0' 'port 123' 'user root' "keyfile $work/chrony.keys" \
        "pidfile $work/chrony2.pid" 'server 192.0.2.123 minpoll 0 maxpoll 0 iburst xleave' \
        'server 2001:db8:1::123 minpoll 0 maxpoll 1 iburst key 1' 'peer 192.0.2.10 minpoll 0 maxpoll 1 key 2' >"$work/chrony2.conf"
    serve s1 chronyd -d -x -f "$work/chrony1.conf"
    wait_for s1 123
    serve s2 chronyd -d -x -f "$work/chrony2.conf"
    wait_for s2 123
    for host in c1 c2; do
        try "$host" chronyd -Q -t 4 "cmdport 0" "user root" "pidfile $work/chrony-$host.pid" 'server 192.0.2.123 iburst maxsamples 1'
    done
    try c2 chronyd -Q -t 4 "cmdport 0" "user root" "pidfile $work/chrony3.pid" 'server 2001:db8:1::123 iburst version 3 maxsamples 1'
    try c3 chronyd -Q -t 5 "cmdport 0" "user root" "pidfile $work/chrony4.pid" 'server 198.51.100.123 iburst maxsamples 1'
    try c3 ntpdate -q 192.0.2.123
    try c1 ntpdate -q 2001:db8:1::123
    sleep 4
    end_capture
}

make_infra() {
    local address name
    cat >"$work/snmpd.conf" <<-END
		agentaddress udp:192.0.2.10:161,udp6:[2001:db8:1::10]:161
		rocommunity public
		rwcommunity "s3cret é"
		rocommunity6 public
		sysDescr "Tést \"agent\" \\ 1.0"
		sysLocation "Keller \"links\" \\ ünten"
		createUser reader SHA "authentic8" AES "priv4cyyy"
		rouser reader
	END
    cat >"$work/krb5.conf" <<-END
		[libdefaults]
		default_realm = EXAMPLE.TEST
		dns_lookup_kdc = false
		dns_lookup_realm = false
		rdns = false
		dns_canonicalize_hostname = false
		[realms]
		EXAMPLE.TEST = {
		  kdc = 192.0.2.10
		}
	END
    cat >"$work/kdc.conf" <<-END
		[kdcdefaults]
		kdc_ports = 88
		kdc_tcp_ports = 88
		[realms]
		EXAMPLE.TEST = {
		  database_name = $work/principal
		  key_stash_file = $work/stash
		  max_life = 1h
		  supported_enctypes = aes256-cts:normal aes128-cts:normal
		}
		[logging]
		kdc = STDERR
	END
    export KRB5_CONFIG=$work/krb5.conf KRB5_KDC_PROFILE=$work/kdc.conf KRB5CCNAME=FILE:$work/ccache
    {
        kdb5_util create -s -P 'master "key"'
        kadmin.local addprinc -pw 'open "sesame"' alice
        kadmin.local addprinc -pw 'x' +requires_preauth 'bob/ädmin'
        kadmin.local addprinc -randkey host/www.example.test
        kadmin.local addprinc -randkey 'HTTP/q"uote.example.test'
        kadmin.local addprinc -pw old -pwexpire yesterday expired
    } >>"$log" 2>&1
    mkdir -p "$work/radius"
    cat >"$work/radius/radiusd.conf" <<-END
		raddbdir = $work/radius
		security { allow_core_dumps = no }
		clients any {
		  client all { ipaddr = 0.0.0.0/0
		    secret = testing123 }
		  client all6 { ipv6addr = ::/0
		    secret = testing123 }
		}
		modules {
		  pap {
		  }
		  chap {
		  }
		  files {
		    usersfile = $work/radius/users
		  }
		}
		server default {
		  listen { type = auth
		    ipaddr = *
		    port = 1812
		    clients = any }
		  listen { type = auth
		    ipv6addr = ::
		    port = 1812
		    clients = any }
		  authorize {
		    chap
		    files
		    pap
		  }
		  authenticate {
		    pap
		    chap
		  }
		}
	END
    cat >"$work/radius/users" <<-'END'
		alïce Cleartext-Password := "p\"w"
		  Reply-Message = "Hallö, \"alïce\" \\",
		  Framed-IP-Address = 10.88.0.5
		bob Cleartext-Password := "bob"
	END
    echo '$INCLUDE /usr/share/freeradius/dictionary' >"$work/radius/dictionary"
    capture infra
    serve s1 snmpd -f -Lo -C -c "$work/snmpd.conf" -p "$work/snmpd.pid" -I system_mib,sysORTable,vacm_conf,usmConf,usmUser,snmpEngine,mibII/interfaces,ifTable
    serve s1 krb5kdc -n
    serve s1 freeradius -f -l stdout -d "$work/radius" -n radiusd
    serve s1 "$python" "$tools/misc_clients.py" udp-sink 192.0.2.10 514
    serve s1 "$python" "$tools/misc_clients.py" udp-sink 2001:db8:1::10 514
    wait_for s1 161 161 88 1812 1812 514 514

    for address in 192.0.2.10 'udp6:[2001:db8:1::10]'; do
        try c1 snmpget -v1 -c public -r0 "$address" 1.3.6.1.2.1.1.1.0 1.3.6.1.2.1.1.5.0
        try c1 snmpget -v2c -c 'wr"ong \ ünï' -r0 -t1 "$address" 1.3.6.1.2.1.1.1.0
        try c1 snmpbulkwalk -v2c -c public -r0 "$address" 1.3.6.1.2.1.1
        try c2 snmpget -v3 -l authPriv -u reader -a SHA -A authentic8 -x AES -X priv4cyyy -r0 "$address" 1.3.6.1.2.1.1.3.0
        try c2 snmpget -v3 -l noAuthNoPriv -u 'strängér' -r0 "$address" 1.3.6.1.2.1.1.3.0
    done
    try c1 snmpset -v2c -c 's3cret é' -r0 192.0.2.10 1.3.6.1.2.1.1.6.0 s 'neu "hier"'
    try c1 snmptrap -v2c -c 'trap"é' 192.0.2.10 '' 1.3.6.1.6.3.1.1.5.3 1.3.6.1.2.1.2.2.1.1.1 i 1

    try c1 "$python" "$tools/misc_clients.py" syslog 192.0.2.10 514
    try c2 "$python" "$tools/misc_clients.py" syslog 2001:db8:1::10 514
    for name in kern.emerg auth.warning local7.debug mail.crit; do
        try c3 logger -n 192.0.2.10 -P 514 -d -p "$name" -t 'täg' --rfc3164 "message \"$name\" \\ ünï"
        try c3 logger -n 192.0.2.10 -P 514 -d -p "$name" --rfc5424 --sd-id x@1 --sd-param 'k="v"' "structured $name"
    done

    for name in 'alice:open "sesame"' 'alice:wrong' 'bob/ädmin:x' 'nobody "q" \\:x' 'expired:old'; do
        try c1 sh -c "printf '%s\n' '${name#*:}' | kinit '${name%%:*}'"
    done
    try c1 sh -c "printf '%s\n' 'open \"sesame\"' | kinit -f alice"
    try c1 kvno host/www.example.test 'HTTP/q"uote.example.test' 'unknown/sërvice'
    sed -i 's/default_realm/udp_preference_limit = 1\ndefault_realm/' "$work/krb5.conf"
    try c2 sh -c "printf '%s\n' 'open \"sesame\"' | kinit -c FILE:$work/ccache2 alice && kvno -c FILE:$work/ccache2 host/www.example.test"

    local text
    for text in 'User-Name = "alïce", User-Password = "p\"w", NAS-IP-Address = 10.20.0.11, Calling-Station-Id = "02-00-00 \"x\""' \
        'User-Name = "bob", User-Password = "wrong", NAS-Identifier = "n\303\244s"' \
        'User-Name = "bob", CHAP-Password = "bob", Framed-IP-Address = 10.1.2.3, Connect-Info = "fast \\ 1G"' \
        'User-Name = "\377\376no\000body", User-Password = "x", Tunnel-Client-Endpoint = "caf\303\251"'; do
        echo "$text" >"$work/radius/request"
        try c1 radclient -r 1 -t 2 -f "$work/radius/request" 192.0.2.10:1812 auth testing123
        try c2 radclient -r 1 -t 2 -f "$work/radius/request" '[2001:db8:1::10]:1812' auth testing123
    done
    end_capture
    unset KRB5_CONFIG KRB5_KDC_PROFILE KRB5CCNAME
}

make_apps() {
    local address
    mkdir -p "$work/mysql"
    mariadb-install-db --no-defaults --datadir="$work/mysql" --user=root --auth-root-authentication-method=normal \
        --skip-test-db --innodb-log-file-size=4M --innodb-buffer-pool-size=8M >>"$log" 2>&1 || die "no database; see the log (-k)"
    printf '%s\n' 'listener 1883 192.0.2.10' 'listener 1883 2001:db8:1::10' 'allow_anonymous true' 'user root' >"$work/mosquitto.conf"
    printf '%s\n' '[Global]' 'Name = irc.example.test' 'Info = Tést "server"' 'Listen = 192.0.2.10' 'MotdPhrase = Grüße "all" \\' \
        'ServerUID = root' 'ServerGID = root' '[Options]' 'Ident = no' 'PAM = no' 'DNS = no' 'Ports = 6667' >"$work/ngircd.conf"
    capture apps
    serve s1 mariadbd --no-defaults --datadir="$work/mysql" --user=root --bind-address=192.0.2.10 --socket="$work/mysql.sock" \
        --innodb-log-file-size=4M --innodb-buffer-pool-size=8M --skip-name-resolve --pid-file="$work/mysql.pid"
    serve s1 mosquitto -c "$work/mosquitto.conf"
    serve s1 ngircd -n -f "$work/ngircd.conf"
    serve s1 sipp -sn uas -i 192.0.2.10 -p 5060 -nostdin -trace_err -error_file "$work/sipp.err"
    serve s1 "$python" "$tools/misc_clients.py" modbus-server 192.0.2.10 502
    serve s2 microsocks -i 198.51.100.20 -p 1080 -u 'us"er' -P 'päss\'
    serve s2 microsocks -i 2001:db8:2::20 -p 1080
    serve s2 "$python" "$tools/web_odd.py" serve 203.0.113.5 80
    wait_for s1 3306 1883 1883 6667 5060 502
    wait_for s2 1080 80

    # Over the local socket, so not in the capture
    try s1 mariadb --no-defaults --socket="$work/mysql.sock" -u root -e \
        "CREATE DATABASE shop; CREATE USER 'app'@'%' IDENTIFIED BY 'p\"w'; GRANT ALL ON shop.* TO 'app'@'%'"
    local -a mysql=(mariadb --no-defaults --default-character-set=utf8mb4 --skip-ssl -h 192.0.2.10 -u app '-pp"w')
    try c1 "${mysql[@]}" shop -e "CREATE TABLE t (id INT, name VARCHAR(99)) CHARSET utf8mb4; INSERT INTO t VALUES (1, 'grüße \"q\" \\\\ 🦊'), (2, NULL);
        SELECT * FROM t; SELECT 'it''s', \"dq\", x'00ff'; SELEKT nonsense; "
    try c1 "${mysql[@]}" -f shop -e "PREPARE s FROM 'SELECT ? + 1'; SET @a = 41; EXECUTE s USING @a; UPDATE t SET name = 'x' WHERE id = 1;
        SELECT _binary'$(printf '\377\376')'; DELETE FROM t; DROP TABLE nothing;"
    try c2 mariadb --no-defaults --skip-ssl -h 192.0.2.10 -u 'nöbody "x"' -pwrong -e 'SELECT 1'
    try c2 mariadb-admin --no-defaults --skip-ssl -h 192.0.2.10 -u app '-pp"w' ping status

    for address in 192.0.2.10 2001:db8:1::10; do
        serve c2 mosquitto_sub -h "$address" -i "süb \"$address\"" -t 'häus/#' -t 'plain/+/x' -q 1 -V 311
        sleep 0.5
        try c1 mosquitto_pub -h "$address" -i pub -t 'häus/"tür"/\status' -m '{"open": true, "näme": "x\"y"}' -q 1
        try c1 mosquitto_pub -h "$address" -i 'pub-é' -t plain/a/x -m "$(printf 'bytes \001\033 \303\251 end')" -q 2 -r -u 'üser' -P 'p"w' \
            --will-topic 'häus/will' --will-payload 'last "words"'
        try c1 mosquitto_pub -h "$address" -V 5 -t five -m v5
    done

    try c2 "$python" "$tools/misc_clients.py" irc 192.0.2.10 6667
    try c1 sipp -sn uac -i 10.20.0.11 -p 5062 -m 3 -d 100 -r 5 -nostdin 192.0.2.10:5060
    try c2 "$python" "$tools/misc_clients.py" sip 192.0.2.10 5060
    try c3 "$python" "$tools/misc_clients.py" modbus 192.0.2.10 502
    try c1 curl -sS --max-time 3 -o /dev/null -x 'socks5://us%22er:p%C3%A4ss%5C@198.51.100.20:1080' http://203.0.113.5/socks
    try c1 curl -sS --max-time 3 -o /dev/null -x 'socks5h://us%22er:wrong@198.51.100.20:1080' http://203.0.113.5/socks
    try c1 curl -sS --max-time 3 -o /dev/null --socks5-hostname '[2001:db8:2::20]:1080' http://203.0.113.5/named
    try c1 curl -sS --max-time 3 -o /dev/null --socks5-hostname '[2001:db8:2::20]:1080' http://unknown.example.invalid/
    end_capture
}

make_windows() {
    mkdir -p "$work/samba/private" "$work/share/Ünïcode 'dir'"
    cp "$files"/{setup.exe,picture.png,latin1.txt} "$work/share"
    cp "$files/page.xml" "$work/share/日本 'x'.xml"
    chmod -R a+rwX "$work/share"
    chmod 711 "$work/samba"
    cat >"$work/smb.conf" <<-END
		[global]
		workgroup = EXAMPLE
		netbios name = FILESERVER
		server string = Grüße "Samba" \\ test
		interfaces = 192.0.2.10 2001:db8:1::10
		bind interfaces only = yes
		server min protocol = NT1
		smb encrypt = off
		disable spoolss = yes
		load printers = no
		private dir = $work/samba/private
		lock directory = $work/samba
		state directory = $work/samba
		cache directory = $work/samba
		pid directory = $work/samba
		ncalrpc dir = $work/samba/ncalrpc
		passdb backend = tdbsam
		map to guest = Bad User
		[shäre]
		path = $work/share
		read only = no
		guest ok = yes
		comment = "quoted" cömment
	END
    {
        printf 'pass"word\npass"word\n' | smbpasswd -c "$work/smb.conf" -s -a alice
        openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=rdp.example.test' -keyout "$keys/rdp.key" -out "$keys/rdp.pem"
        xrdp-keygen xrdp "$work/rsakeys.ini" 2048
    } >>"$log" 2>&1
    sed -e "s|^port=3389.*|port=tcp://192.0.2.10:3389|" -e "s|^certificate=.*|certificate=$keys/rdp.pem|" \
        -e "s|^key_file=.*|key_file=$keys/rdp.key|" -e 's|^crypt_level=.*|crypt_level=low|' /etc/xrdp/xrdp.ini >"$work/xrdp.ini"
    cp "$work/rsakeys.ini" /etc/xrdp/rsakeys.ini
    capture windows
    serve s1 smbd -F --no-process-group -s "$work/smb.conf" -l "$work/samba" --debug-stdout
    serve s1 xrdp --nodaemon --config "$work/xrdp.ini"
    serve s1 Xvnc :7 -SecurityTypes None -geometry 64x48 -depth 24 -rfbport 5907 -interface 192.0.2.10 -desktop 'désktop "7"' -ac
    serve c3 Xvfb :9 -screen 0 320x240x24 -nolisten tcp
    wait_for s1 445 3389 5907
    local -a smb=(smbclient --configfile=/dev/null -U 'alice%pass"word' -t 5)
    local commands='ls; get setup.exe /dev/null; mkdir "neü x"; cd "neü x"; put '"$files/paper.pdf"' "dökument.pdf"; rename dökument.pdf "nëw.pdf"; del nëw.pdf; get missing.txt'
    try c1 "${smb[@]}" -m SMB3 '//192.0.2.10/shäre' -c "$commands"
    try c1 "${smb[@]}" -m SMB2 -L 192.0.2.10
    try c2 "${smb[@]}" -m SMB3_11 '//2001:db8:1::10/shäre' -c 'ls; get picture.png /dev/null'
    try c2 "${smb[@]}" --option='client min protocol=NT1' -m NT1 '//192.0.2.10/shäre' -c 'ls; get latin1.txt /dev/null; put '"$files/dot.gif"' d.gif; del d.gif'
    try c3 smbclient --configfile=/dev/null -U 'wröng\us"er%bad' -t 5 '//192.0.2.10/ipc$' -c 'ls'
    try c3 smbclient --configfile=/dev/null -U 'alice%bad' -t 5 '//192.0.2.10/nö-share' -c 'ls'
    try c3 rpcclient --configfile=/dev/null -U 'alice%pass"word' 192.0.2.10 -c 'srvinfo; enumdomusers; netshareenum; lookupnames alice'
    try c3 "$python" "$tools/misc_clients.py" rfb 192.0.2.10 5907
    local -a rdp=(timeout 4 xfreerdp /v:192.0.2.10 /cert:ignore /size:200x150 /bpp:8 -wallpaper /u:alice /p:wrong)
    try c3 env DISPLAY=:9 "${rdp[@]}" /sec:rdp "/client-hostname:PC-ÜÑÏ"
    try c3 env DISPLAY=:9 "${rdp[@]}" /sec:tls
    end_capture
}

make_tunnel() {
    "$python" "$tools/make_packets.py" tunnel "$work/tunnel.pcap"
}

make_weird() {
    "$python" "$tools/make_packets.py" weird "$work/weird.pcap"
}

# ---------------------------------------------------------------------- main

[[ $# != 0 ]] || set -- "${all[@]}"
for name; do
    [[ " ${all[*]} " == *" $name "* ]] || die "no such capture: $name"
done
stage
for name; do
    echo "making $name"
    "make_${name//-/_}"
    mv "$work/$name.pcap" "$work/made"
done

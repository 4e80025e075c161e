#!/usr/bin/env python3
"""Write the captures that are made of crafted packets, with scapy.

Usage: make_packets.py weird|tunnel FILE

Nothing is sent anywhere: the packets go straight into the file, with fixed
times and sequence numbers, so that the file is the same at every run.
"""

import random
import struct
import sys

from scapy.config import conf

conf.ipv6_enabled = True
from scapy.all import (  # noqa: E402  (the setting above must come first)
    ARP, GRE, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPOption, IPv6, IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, ICMPv6EchoRequest, Raw, fragment, raw,
)

RNG = random.Random(7)
MACS = {"src": "00:00:5e:00:53:11", "dst": "00:00:5e:00:53:10"}
packets = []
clock = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC


def put(packet, gap=0.013, layer2=None):
    global clock
    clock += gap
    if not isinstance(packet, Ether):
        packet = (layer2 or Ether(**MACS)) / packet
    packets.append((clock, raw(packet)))


def ip(src, dst, **fields):
    return (IPv6 if ":" in src else IP)(src=src, dst=dst, **fields)


class Talk:
    """One TCP connection; `wrap` puts every packet into an outer one."""

    def __init__(self, client, server, port, wrap=lambda packet: packet, sport=None):
        self.client, self.server, self.wrap = client, server, wrap
        self.ports = (sport or RNG.randrange(32768, 61000), port)
        self.next = [RNG.randrange(1 << 31), RNG.randrange(1 << 31)]

    def send(self, side, flags, data=b"", seq=None, ack=None, **fields):
        src, dst = (self.client, self.server)[::1 if side == 0 else -1]
        sport, dport = self.ports[::1 if side == 0 else -1]
        seq = self.next[side] if seq is None else seq
        ack = (self.next[1 - side] if "A" in flags else 0) if ack is None else ack
        put(self.wrap(ip(src, dst) / TCP(sport=sport, dport=dport, flags=flags, seq=seq & 0xFFFFFFFF,
                                         ack=ack & 0xFFFFFFFF, **fields) / Raw(data)))
        self.next[side] += len(data) + ("S" in flags) + ("F" in flags)

    def open(self):
        self.send(0, "S", options=[("MSS", 1460)])
        self.send(1, "SA", options=[("MSS", 1460)])
        self.send(0, "A")
        return self

    def say(self, side, data):
        for start in range(0, len(data), 1400):
            self.send(side, "PA", data[start:start + 1400])
        self.send(1 - side, "A")

    def close(self):
        self.send(0, "FA")
        self.send(1, "FA")
        self.send(0, "A")

    def run(self, *turns):
        self.open()
        for turn, data in enumerate(turns):
            self.say(turn % 2, data)
        self.close()


def datagram(client, server, port, request, reply=b"", sport=None):
    sport = sport or RNG.randrange(32768, 61000)
    put(ip(client, server) / UDP(sport=sport, dport=port) / Raw(request))
    if reply:
        put(ip(server, client) / UDP(sport=port, dport=sport) / Raw(reply))


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"


def request(path=b"/", host=b"w.example.test"):
    return b"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: crafted/1.0\r\n\r\n" % (path, host)


def dns(name, number=1, flags=0x0100, counts=(1, 0, 0, 0), rest=b"\0\1\0\1"):
    labels = b"".join(bytes([len(label)]) + label for label in name.split(b".")) + b"\0"
    return struct.pack(">6H", number, flags, *counts) + labels + rest


def weird():
    c4, s4, c6, s6 = "192.168.7.66", "203.0.113.66", "2001:db8:7::66", "2001:db8:66::1"
    tcp_weird(c4, s4, c6, s6)
    ip_weird(c4, s4, c6, s6)
    dns_weird(c4, s4)
    for port, first, second in (
        # Wrong protocol on a well-known port, and protocols that break half-way.
        (80, request(b"/ok"), b"\x00\x01\x02 not http \xff\xfe" * 5),
        (80, b"\x80\xff\x00" * 50, b"\x00" * 40),
        (80, b"GET /\xff bad HTTP/x.y\r\nContent-Length: -5\r\n\r\n", OK),
        (80, b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nx", OK),
        (80, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nbad\r\n0\r\n\r\n", OK),
        (21, b"USER \"x\\\xff\r\nPASS \x01\r\n", b"garbage without a code\r\n999 what\r\nabc\r\n"),
        (21, b"\x16\x03\x01\x00\x05hello", b"220 \xe2\x9c\x93 ready\r\n"),
        (22, b"SSH-2.0-Odd_\xc3\xa9\"\\\r\n" + b"\x00\x00\x00\x05\xff", b"SSH-9.9-x\r\n\xff\xff\xff\xff"),
        (25, b"\x00\x01\x02\r\nDATA\r\nMAIL\r\n", b"220 x\r\nabc\r\n\xff\xff\r\n999999 y\r\n"),
        (443, b"\x16\x03\x03\x00\x05\x01\x00\x00\x01\x00", b"\x15\x03\x03\x00\x02\x02\x28"),
        (443, b"\x16\x03\x01\x00\x2e\x01" + b"\xff" * 60, b"plain text, no TLS\r\n"),
        (443, b"\x16\x09\x09\xff\xff" + b"\x00" * 80, b"\x16\x03\x03\xff\xff" + b"\x02" * 80),
        (3306, b"\x05\x00\x00\x01\xffabcd", b"\xff\xff\xff\x00\x0abad"),
        (445, b"\x00\x00\x00\x20\xfeSMB" + b"\xff" * 40, b"\x00\x00\x00\x08\xffSMB\x00\x00"),
        (6667, b"NICK \x01\xff\r\nUSER\r\n:\r\n" + b"x" * 600 + b"\r\n", b":\r\n:a 001\r\n: 999 \xff\r\n"),
        (1883, b"\x10\xff\xff\xff\xff\x7f", b"\x20\x02\x00\x05"),
        (502, b"\x00\x01\x00\x00\x00\xff\x01\x99" + b"\x00" * 30, b"\x00\x01\x00\x07\x00\x01\x01"),
        (3389, b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\xff\x00\x00\x00",
         b"\x03\x00\xff\xff\x02\xf0\x80"),
        (5432, b"\x00\x00\x00\x08\x04\xd2\x16\x2f" + b"\xff" * 20, b"S\x00\x01"),
        (1080, b"\x05\xff\x00\x01", b"\x04\x99\x00\x00"),
        (53, b"\x00\x05\x00\x01\x02\x03\x04\xff\xff" + b"z" * 50, b"\xff\xff\x00\x01"),
        (79, b"al\xc3\xafce \"x\\\"\r\n", b"Login: al\xc3\xafce\r\nName: \xff\x00\r\n"),
        (23, b"\xff\xfd\x18\xff\xfa\x18\x00xterm\xff\xf0alice\r\nsecret\r\n", b"\xff\xfb\x01login: \x00Password: "),
    ):
        Talk(c4, s4, port).run(first, second)
        if port in (80, 443):
            Talk(c6, s6, port).run(first, second)
    for port, data in (
        (67, b"\x01\x01\x06\x00" + b"\xff" * 60), (123, b"\x23\x00"), (123, b"\xff" * 48),
        (123, bytes([0x17, 0, 3, 42]) + b"\0" * 4), (123, bytes([0x16, 1, 0, 2]) + b"\0" * 8),
        (161, b"\x30\x82\xff\xff\x02\x01"), (161, b"\x30\x0a\x02\x01\x07\x04\x02\xff\xfe\xa0\x01\x00"),
        (514, b"<999>too high\xff"), (514, b"no priority \x00 at all"), (514, b"<34>"),
        (1812, b"\x01\x01\x00\x05" + b"\x00" * 20), (88, b"\x6a\x81\xff\x30\x00"),
        (5060, b"INVITE\r\nVia\r\n\r\n"), (5060, b"\x00\xff" * 20),
        (5060, b"OPTIONS sip:\xc3\xa9\"x\\@h SIP/2.0\r\nFrom: <sip:\xff>\r\nContent-Length: -1\r\n\r\n"),
        (443, b"\xc3\xff\x00\x00\x1d\x08" + b"\x01" * 60), (69, b"\x00\x01\xffile\x00octet\x00"),
        (137, b"\x00\x01\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x20" + b"CK" + b"A" * 30 + b"\x00\x00\x21\x00\x01"),
        (5353, dns(b"_s\xc3\xa9rvice._tcp.local", 0, 0)), (5355, dns(b"w\"p\\ad", 5, 0)),
    ):
        datagram(c4, s4, port, data)


def tcp_weird(c4, s4, c6, s6):
    for client, server in ((c4, s4), (c6, s6)):
        talk = Talk(client, server, 80)  # data without a handshake
        talk.say(0, request(b"/no-handshake"))
        talk = Talk(client, server, 80)  # data on SYN, and SYN again
        talk.send(0, "S", b"early data")
        talk.send(0, "S", seq=99)
        talk.send(1, "SA")
        talk.send(1, "SA", seq=5)
        talk.send(0, "SF")
        talk = Talk(client, server, 8080).open()  # a gap, then an overlap that differs
        start = talk.next[0]
        talk.say(0, request(b"/first"))
        talk.send(0, "PA", b"X" * 20, seq=start)
        talk.next[0] += 5000
        talk.say(0, request(b"/after-gap"))
        talk.say(1, OK)
        talk.send(1, "A", ack=talk.next[0] + 100000)
        talk.send(0, "R")
        talk.send(0, "PA", b"after reset")
        talk.send(0, "FA", b"fin after reset")
        talk = Talk(client, server, 80).open()  # half a request, then nothing more
        talk.say(0, b"GET /half HTTP/1.1\r\nHo")
        talk.send(1, "RA")
        talk.send(1, "RA")
    talk = Talk(c4, s4, 9999)
    for flags in ("", "FPU", "SR", "SFRPAU", "F", "A", "R"):
        talk.send(0, flags)
    talk.send(0, "S", urgptr=7, window=0, reserved=7)
    talk.send(0, "SA", options=[("NOP", None)] * 39 + [("EOL", None)])
    put(ip(c4, s4) / TCP(sport=1, dport=2, dataofs=1) / Raw(b"short offset"))
    put(ip(c4, s4) / TCP(sport=1, dport=2, dataofs=15) / Raw(b"long"))
    put(ip(c4, s4) / TCP(sport=0, dport=0, flags="S"))
    put(ip(c4, s4) / TCP(sport=7, dport=7, flags="S", chksum=0xBAD))
    put(ip(c4, s4) / UDP(sport=7, dport=7, chksum=0xBAD) / Raw(b"bad sum"))
    put(ip(c4, s4) / UDP(sport=7, dport=9, len=4) / Raw(b"short length"))
    put(ip(c4, s4) / UDP(sport=7, dport=9, len=900) / Raw(b"long length"))
    talk = Talk(c4, s4, 4444)  # a Windows shell banner in clear text
    talk.run(b"Microsoft Windows [Version 10.0.1]\r\n(C) Copyright 1985-2001 Microsoft Corp.\r\n\r\n\r\nC:\\>",
             b"dir\r\n", b"Volume \xe9\r\nC:\\>")
    talk = Talk(c4, s4, 80).open()  # the window moves back
    talk.send(1, "A", window=60000)
    talk.send(1, "A", window=10)
    talk.send(0, "PA", b"Z" * 1000)
    talk.close()


def ip_weird(c4, s4, c6, s6):
    put(IP(src=c4, dst=s4, proto=253) / Raw(b"experimental"))
    put(IP(src=c4, dst=s4, proto=0) / Raw(b"?"))
    put(IP(src=c4, dst=c4) / UDP(sport=5, dport=5) / Raw(b"land"))
    put(IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=5, dport=6) / Raw(b"all"))
    put(IP(src=c4, dst=s4, ihl=3) / Raw(b"header too short"))
    put(IP(src=c4, dst=s4, len=10) / UDP(sport=1, dport=1))
    put(IP(src=c4, dst=s4, len=4000) / UDP(sport=1, dport=1) / Raw(b"truncated"))
    put(IP(src=c4, dst=s4, chksum=1) / UDP(sport=1, dport=1) / Raw(b"bad header sum"))
    put(IP(src=c4, dst=s4, options=[IPOption(b"\x83\x07\x04\x0a\x01\x02\x03")]) / UDP(sport=2, dport=2))
    put(IP(src=c4, dst=s4, flags="MF+DF", frag=8000) / Raw(b"far away"))
    put(IP(src=c4, dst=s4, id=9, flags="MF", frag=0) / Raw(b"A" * 24))
    put(IP(src=c4, dst=s4, id=9, flags="MF", frag=1) / Raw(b"B" * 24))
    put(IP(src=c4, dst=s4, id=9, frag=3) / Raw(b"C" * 3))
    put(IP(src=c4, dst=s4, id=9, frag=2) / Raw(b"D" * 60))
    big = IP(src=c4, dst=s4, id=77) / UDP(sport=5353, dport=53) / Raw(dns(b"fragmented.example.test"))
    for part in fragment(big, fragsize=16):
        put(part)
    put(IP(src=c4, dst=s4) / ICMP(type=8, id=4, seq=1) / Raw(b"ping"))
    put(IP(src=s4, dst=c4) / ICMP(type=0, id=4, seq=1) / Raw(b"ping"))
    put(IP(src=s4, dst=c4) / ICMP(type=3, code=3) / IP(src=c4, dst=s4) / UDP(sport=4, dport=4))
    put(IP(src=s4, dst=c4) / ICMP(type=11, code=0) / Raw(b"\x45\x00"))
    put(IP(src=s4, dst=c4) / ICMP(type=200, code=99))
    put(IPv6(src=c6, dst=s6) / ICMPv6EchoRequest(id=3, seq=9, data=b"ping6"))
    put(IPv6(src=c6, dst=s6) / IPv6ExtHdrRouting(type=0, addresses=["2001:db8::bad"]) / UDP(sport=3, dport=3))
    put(IPv6(src=c6, dst=s6) / IPv6ExtHdrHopByHop() / UDP(sport=3, dport=4) / Raw(b"hop"))
    put(IPv6(src=c6, dst=s6, nh=44) / IPv6ExtHdrFragment(nh=17, offset=0, m=1, id=5) / Raw(b"\0\5\0\5\0\x10\0\0"))
    put(IPv6(src=c6, dst=s6, nh=59) / Raw(b"nothing follows"))
    put(IPv6(src=c6, dst=s6, plen=2000) / UDP(sport=3, dport=3) / Raw(b"cut"))
    put(IPv6(src=c6, dst=s6, nh=200) / Raw(b"unknown"))
    put(ARP(op=1, psrc=c4, pdst=s4, hwlen=9))
    put(Dot1Q(vlan=42) / Dot1Q(vlan=7) / IP(src=c4, dst=s4) / UDP(sport=42, dport=42) / Raw(b"two tags"))
    put(Raw(b"\x00\x01unknown ether type"), layer2=Ether(type=0x88B5, **MACS))
    put(Raw(b"\x45"), layer2=Ether(type=0x0800, **MACS))
    put(Raw(b"\x60\x00\x00"), layer2=Ether(type=0x86DD, **MACS))
    put(Raw(b"\x21not four"), layer2=Ether(type=0x0800, **MACS))
    put(Raw(b"\x00\x10"), layer2=Ether(type=0x8847, **MACS))


def dns_weird(c4, s4):
    good = dns(b"www.example.test", 4, 0x8580, (1, 1, 0, 0))
    answers = (
        good + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1" + b"trailing",
        good + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\xff\xc0",  # length beyond the end
        good + b"\xc0\xff\0\1\0\1",  # pointer beyond the end
        struct.pack(">6H", 4, 0x8580, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",  # pointer to itself
        struct.pack(">6H", 4, 0x8580, 1, 0, 0, 0) + b"\x85label",  # reserved label type
        good + b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\x09\x08\xff\x00\"\\\xc3\xa9\x1b\n",  # odd TXT
        good + b"\xc0\x0c\0\x10\0\1\0\0\0\x3c\0\x03\x20ab",  # TXT string too long
        good + b"\xc0\x0c\xff\x01\x12\x34\x7f\xff\xff\xff\0\2\xab\xcd",  # unknown type and class
        struct.pack(">6H", 4, 0xFFFF, 9, 9, 9, 9),
        b"\x00\x04",
    )
    for number, reply in enumerate(answers):
        datagram(c4, s4, 53, dns(b"www.example.test", 4), reply, sport=40000 + number)
    datagram(c4, s4, 53, dns(b"caf\xc3\xa9.\xff\xfe\x00\x01.q\"b\\s.example.test", 6))
    datagram(c4, s4, 53, dns(b".".join([b"x" * 63] * 3 + [b"y" * 50]), 7))
    datagram(c4, s4, 53, dns(b"many.example.test", 8, 0x0900, (1, 0, 0, 0), b"\xff\xff\xff\xff"))


def tunnel():
    c4, s4, c6, s6 = "10.20.0.77", "198.51.100.77", "2001:db8:77::1", "2001:db8:88::2"
    query = dns(b"tunnelled.example.test", 3)
    outer = {"src": c4, "dst": s4}

    def both(wrap, client, server):
        def turned(packet):
            inner = packet[IPv6] if client.count(":") else packet[IP]
            return wrap(packet, inner.src == client)
        Talk(client, server, 80, turned).run(request(b"/t\xc3\xbcnnel"), OK)
        put(turned(ip(client, server) / UDP(sport=40404, dport=53) / Raw(query)))

    def outside(forward, **fields):
        src, dst = (c4, s4) if forward else (s4, c4)
        return IP(src=src, dst=dst, **fields)

    both(lambda p, f: outside(f, proto=41) / p, c6, s6)  # 6in4
    both(lambda p, f: outside(f, proto=4) / p, "172.16.1.1", "172.16.2.2")  # 4in4
    both(lambda p, f: outside(f) / GRE() / p, "172.16.3.1", "172.16.3.2")
    both(lambda p, f: outside(f) / GRE(proto=0x86DD, key_present=1, key=7) / p, "2001:db8:3::1", "2001:db8:3::2")
    both(lambda p, f: outside(f) / GRE(proto=0x6558) / Ether(**MACS) / p, "172.16.4.1", "172.16.4.2")
    both(lambda p, f: IPv6(src=c6 if f else s6, dst=s6 if f else c6, nh=4) / p, "172.16.5.1", "172.16.5.2")

    def udp(forward, port, source):
        return outside(forward) / UDP(sport=source if forward else port, dport=port if forward else source)

    both(lambda p, f: udp(f, 4789, 45001) / Raw(b"\x08\0\0\0\0\0\x2a\0") / Ether(**MACS) / p,
         "172.16.6.1", "172.16.6.2")  # VXLAN
    both(lambda p, f: udp(f, 6081, 45002) / Raw(b"\0\0\x65\x58\0\0\x2b\0") / Ether(**MACS) / p,
         "172.16.7.1", "172.16.7.2")  # Geneve
    both(lambda p, f: udp(f, 2152, 45003) / Raw(b"\x30\xff" + struct.pack(">HI", len(raw(p)), 99)) / p,
         "172.16.8.1", "172.16.8.2")  # GTPv1
    teredo4 = "2001:0:c633:644d:0:ef00:f5eb:ffb2"
    put(udp(True, 3544, 45004) / Raw(b"\0\1\0\0" + b"\1" * 8 + b"\0")  # Teredo: router solicitation
        / IPv6(src="fe80::ffff", dst="ff02::2", nh=58, hlim=255) / Raw(b"\x85\0\x7d\x38\0\0\0\0"))
    both(lambda p, f: udp(f, 3544, 45004) / (Raw(b"\0\0\xee\xee\xf5\xea\xff\xff") if not f else b"") / p,
         teredo4, "2001:db8:99::1")
    put(IP(**outer) / IP(src="10.1.1.1", dst="10.1.1.2", len=3))  # broken inside
    put(IP(**outer) / GRE(version=3) / Raw(b"bad version"))
    deep = UDP(sport=1, dport=2) / Raw(b"deep")
    for level in range(6):
        deep = IP(src=f"10.0.{level}.1", dst=f"10.0.{level}.2") / deep
    put(deep)
    # HTTP CONNECT and SOCKS in bytes that real proxies would not let pass
    hello = b"CONNECT h\xc3\xb6st\"\\:443 HTTP/1.1\r\nHost: x\r\n\r\n"
    Talk(c4, s4, 3128).run(hello, b"HTTP/1.1 200 OK\r\n\r\n", request(b"/inside"), OK)
    Talk(c4, s4, 1080).run(b"\x04\x01\x00\x50\x00\x00\x00\x01us\"er\xff\x00n\xc3\xa4me\\.test\x00",
                           b"\x00\x5a\x00\x50\xc0\x00\x02\x01", request(b"/socks4a"), OK)


if __name__ == "__main__":
    {"weird": weird, "tunnel": tunnel}[sys.argv[1]]()
    # Written by hand, since wrpcap() would repair some of the broken lengths.
    with open(sys.argv[2], "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for when, frame in packets:
            seconds, micros = divmod(round(when * 1_000_000), 1_000_000)
            out.write(struct.pack("<IIII", seconds, micros, len(frame), len(frame)) + frame)

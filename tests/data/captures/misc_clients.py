#!/usr/bin/env python3
"""Small clients (and two servers) for protocols that need no more.

Usage: misc_clients.py KIND ADDRESS PORT

KIND is one of irc, rfb, sip, syslog, modbus (clients), modbus-server and
udp-sink (servers; the sink only takes datagrams and says nothing).
"""

import socket
import struct
import sys
import time


def udp_socket(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM)


def irc(address, port):
    with socket.create_connection((address, port), timeout=1) as connection:
        for line in (
            b"NICK tester", b"USER tester 0 * :R\xc3\xa9al \"Name\" \\ \x02bold\x02",
            b"JOIN #caf\xc3\xa9,#plain", b"PRIVMSG #plain :h\xc3\xa9llo \xf0\x9f\x98\x80 \xff\xfe \x01ACTION waves\x01",
            b"TOPIC #plain :a \"topic\" \\ with \x0304colours\x03", b"MODE #plain +k s\"cret", b"WHO *", b"NAMES",
            b"PRIVMSG tester :\x01DCC SEND \"na\xc3\xafve file.txt\" 3221225994 5000 1234\x01",
            b"OPER root \\wrong\"", b"NICK bad\xffnick", b"NONSENSE a b c", b"PART #plain :bye \xe2\x9c\x8c",
            b"QUIT :\"gone\"",
        ):
            connection.sendall(line + b"\r\n")
            time.sleep(0.15)
        try:
            while connection.recv(4096):
                pass
        except OSError:
            pass


def rfb(address, port):
    """A VNC client up to the first screen update, without authentication."""
    with socket.create_connection((address, port), timeout=2) as connection:
        def take(count):
            data = b""
            while len(data) < count:
                data += connection.recv(count - len(data)) or sys.exit("rfb: closed")
            return data

        take(12)
        connection.sendall(b"RFB 003.008\n")
        take(take(1)[0])
        connection.sendall(b"\x01")  # security type: none
        take(4)
        connection.sendall(b"\x01")  # shared
        init = take(24)
        take(struct.unpack(">I", init[20:])[0])
        connection.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, 8, 8))
        connection.recv(4096)
        connection.sendall(struct.pack(">BxxxI", 6, 5) + b"caf\xe9\n")  # cut text


def sip(address, port):
    """Requests with odd header values, to a SIPp that plays a phone."""
    texts = (
        ("REGISTER", "sip:example.test", "\"\u00c5sa \\\"\u00c5\\\" \u674e\" <sip:asa@example.test>"),
        ("OPTIONS", "sip:caf\u00e9@example.test;x=\"y\\\"", "<sip:o'ptions@example.test>;tag=\u00e9"),
        ("MESSAGE", "sip:bob@[2001:db8:1::10]", "\"tab\there\" <sip:tab@example.test>"),
        ("SUBSCRIBE", "tel:+1-555-0100", "Anonymous <sip:anonymous@anonymous.invalid>"),
        ("FR\u00d6BNICATE", "sip:x@example.test", "<sip:x@example.test>"),
    )
    with udp_socket(address) as connection:
        connection.settimeout(0.3)
        for number, (method, uri, name) in enumerate(texts, 1):
            body = "h\u00e9llo \"w\" \\\n"
            message = (
                f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 10.20.0.11;branch=z9hG4bK{number}\r\n"
                f"Via: SIP/2.0/UDP [2001:db8::9];branch=z9hG4bK0\r\nFrom: {name}\r\nTo: <sip:bob@example.test>\r\n"
                f"Call-ID: odd{number}\"\\@10.20.0.11\r\nCSeq: {number} {method}\r\nSubject: \u00dcber \U0001f98a\r\n"
                f"User-Agent: T\u00ebst \"phone\" \\ 1.0\r\nWarning: 399 x \"odd\"\r\nContent-Type: text/plain\r\n"
                f"Content-Length: {len(body.encode())}\r\n\r\n{body}")
            data = message.encode() + (b"\xff\xfe\x00" if number == 4 else b"")
            connection.sendto(data, (address, port))
            try:
                connection.recv(4096)
            except OSError:
                pass


def syslog(address, port):
    with udp_socket(address) as connection:
        for data in (
            b"<34>Oct 11 22:14:15 host su: 'su root' failed for al\xc3\xafce on /dev/pts/8",
            b"<165>1 2026-01-01T00:00:00.003Z h\xc3\xb6st app - ID47 "
            b"[x@32473 k=\"a\\\"b\\]c\"] \xef\xbb\xbftext \xf0\x9f\xa6\x8a",
            b"<0>kernel: panic \x00 with NUL, \x1b[31mescape\x1b[0m, \xff\xfe and a tab\t.",
            b"<191>debug " + b"long " * 300, b"<13>\n\r", b"<7>-", b"<8>(empty)",
            b"<86>sshd[1]: Accepted \"quoted\" \\ backslash {\"json\": [1, null]}",
        ):
            connection.sendto(data, (address, port))
            time.sleep(0.02)


def udp_sink(address, port):
    with udp_socket(address) as connection:
        connection.bind((address, port))
        while True:
            connection.recv(65536)


def modbus(address, port):
    from pymodbus.client import ModbusTcpClient

    client = ModbusTcpClient(address, port=port)
    client.connect()
    client.read_coils(0, 10, slave=1)
    client.read_holding_registers(5, 3, slave=1)
    client.write_register(7, 4711, slave=1)
    client.write_registers(8, [1, 2, 65535], slave=2)
    client.write_coil(3, True, slave=1)
    client.read_input_registers(5000, 100, slave=1)
    client.close()


def modbus_server(address, port):
    from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
    from pymodbus.server import StartTcpServer

    def block():
        return ModbusSequentialDataBlock(0, [17] * 100)

    store = ModbusSlaveContext(di=block(), co=block(), hr=block(), ir=block())
    StartTcpServer(context=ModbusServerContext(slaves=store, single=True), address=(address, port))


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")](sys.argv[2], int(sys.argv[3]))

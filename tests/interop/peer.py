#!/usr/bin/env python3
"""A subscriber with keys, or without, made of nothing but Python and pyzmq.

  peer.py bind|connect ENDPOINT [--kind SUB|PULL] [--topic TOPIC] [--own SECRET_KEY_FILE]
          [--server PUBLIC_KEY_FILE] [--authorized DIR]

With --own it uses CURVE: as a client of --server, or else as a server, which lets in the keys in
--authorized, or everybody. The files are read by pyzmq's own functions.

Prints each message as PATH<TAB>JSON, and each event of the socket as !NAME. A line "reload" on
standard input reads --authorized again. Ends when standard input does.
"""

import argparse
import sys

import zmq
import zmq.auth
import zmq.utils.monitor
from zmq.auth.thread import ThreadAuthenticator


def say(line):
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=("bind", "connect"))
    parser.add_argument("endpoint")
    parser.add_argument("--kind", default="SUB")
    parser.add_argument("--topic", default="")
    parser.add_argument("--own")
    parser.add_argument("--server")
    parser.add_argument("--authorized")
    args = parser.parse_args()

    context = zmq.Context()
    authenticator = None
    socket = context.socket(getattr(zmq, args.kind))
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    if args.own:
        socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(args.own)
        if args.server:
            socket.curve_serverkey, _ = zmq.auth.load_certificate(args.server)
        else:
            socket.curve_server = True
            if args.authorized:
                authenticator = ThreadAuthenticator(context)
                authenticator.start()
                authenticator.configure_curve(domain="*", location=args.authorized)
    if args.kind == "SUB":
        socket.setsockopt(zmq.SUBSCRIBE, args.topic.encode())
    monitor = socket.get_monitor_socket()
    getattr(socket, args.how)(args.endpoint)
    say(b"!READY")

    poller = zmq.Poller()
    for source in (socket, monitor, sys.stdin.fileno()):
        poller.register(source, zmq.POLLIN)
    while True:
        for source, _ in poller.poll():
            if source == socket:
                say(b"\t".join(socket.recv_multipart()))
            elif source == monitor:
                event = zmq.utils.monitor.recv_monitor_message(monitor)["event"]
                say(b"!" + zmq.Event(event).name.encode())
            else:
                if sys.stdin.readline() != "reload\n":
                    if authenticator:
                        authenticator.stop()
                    context.destroy(0)
                    return
                authenticator.configure_curve(domain="*", location=args.authorized)
                say(b"!RELOADED")


if __name__ == "__main__":
    main()

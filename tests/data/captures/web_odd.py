#!/usr/bin/env python3
"""An HTTP server with odd answers and a client with odd requests.

Usage: web_odd.py serve ADDRESS PORT
       web_odd.py ask ADDRESS PORT

Ordinary servers refuse and ordinary clients cannot send most of this: bytes
that are not UTF-8, control characters, NUL, very long fields, broken framing.
The server answers whatever it gets; the request's path picks the answer.
"""

import base64
import gzip
import hashlib
import socket
import socketserver
import sys
import time

CRLF = b"\r\n"


def head(status, *fields):
    return CRLF.join((b"HTTP/1.1 " + status, *fields)) + CRLF + CRLF


def body(status, kind, content, *fields):
    length = b"Content-Length: %d" % len(content)
    return head(status, b"Server: odd/1.0 (\"q\\\xc3\xa9\")", b"Content-Type: " + kind, length,
                *fields) + content


def chunked(content, size):
    parts = [content[i:i + size] for i in range(0, len(content), size)] + [b""]
    return b"".join(b"%x;ext=\"a\\\"b\"\r\n%s\r\n" % (len(part), part) for part in parts)


def answer(target):
    """The bytes to send for a request target, and True if the connection is closed then."""
    if target.startswith(b"/status"):
        return body(b"299 Stra\xc3\x9fe \"q\" \\ \xff\xfe", b"text/plain", b"odd status\n"), False
    if target.startswith(b"/teapot"):
        return body(b"418 I'm a teapot", b"text/plain", b"short and stout\n"), False
    if target.startswith(b"/early"):
        hints = head(b"103 Early \xe2\x9c\x93 Hints", b"Link: </style.css>; rel=preload")
        return hints + body(b"200 OK", b"text/html", b"<html>hi</html>"), False
    if target.startswith(b"/none"):
        return head(b"204 No Content"), False
    if target.startswith(b"/moved"):
        place = b"Location: http://www.example.test/\xc3\xa9?a=\"b\"&c=\\"
        return body(b"301 Moved Permanently", b"text/html", b"<a>moved</a>", place), False
    if target.startswith(b"/chunked"):
        kind = b"Content-Type: application/json; charset=\"utf-8\""
        return head(b"200 OK", b"Transfer-Encoding: chunked", kind) + chunked(
            b'{"text": "' + b"\xc3\xbc\\u0000\\\\" * 40 + b'"}', 64), False
    if target.startswith(b"/gzip"):
        packed = gzip.compress(b"<html><body>" + b"squeezed " * 200 + b"</body></html>", mtime=0)
        return body(b"200 OK", b"text/html", packed, b"Content-Encoding: gzip"), False
    if target.startswith(b"/named"):
        name = b"Content-Disposition: attachment; filename=\"r\xc3\xa9sum\xc3\xa9 \\\"final\\\".txt\""
        return body(b"200 OK", b"text/plain", b"my r\xc3\xa9sum\xc3\xa9\n", name), False
    if target.startswith(b"/star"):
        name = b"Content-Disposition: attachment; filename*=UTF-8''na%C3%AFve%00file.bin"
        return body(b"200 OK", b"application/octet-stream", bytes(range(256)), name), False
    if target.startswith(b"/short"):
        return head(b"200 OK", b"Content-Type: image/png", b"Content-Length: 5000") + (
            b"\x89PNG\r\n\x1a\n" + b"\0" * 200), True
    if target.startswith(b"/oldstyle"):
        return b"<html>no header at all</html>\n", True
    if target.startswith(b"/badcode"):
        return b"HTTP/1.1 abc Not a number\r\nContent-Length: 0\r\n\r\n", True
    if target.startswith(b"/headers"):
        many = [b"X-Many-%d: value \xc3\xa9 %d" % (i, i) for i in range(40)]
        long = b"X-Long: " + b"long " * 1000
        return body(b"200 OK", b"text/plain", b"many\n", long, b"Set-Cookie: a=\"b\\c\"", *many), False
    if target.startswith(b"/kind"):
        return body(b"200 OK", b"te\xffxt/\"pl\\ain\"; x=\x01", b"odd type\n"), False
    return body(b"200 OK", b"text/plain; charset=utf-8", b"ok\n"), False


def websocket(key):
    accept = base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    frame = b"\x81\x0bh\xc3\xa9llo w\xc3\xb6rd"[:13]
    return head(b"101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade",
                b"Sec-WebSocket-Accept: " + accept) + frame + b"\x88\x02\x03\xe8"


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            line = self.rfile.readline(1 << 20)
            if not line:
                return
            target = (line.split(b" ") + [b""])[1]
            length, chunks, key = 0, False, None
            while True:
                field = self.rfile.readline(1 << 20)
                if field.strip() == b"":
                    break
                name, _, value = field.partition(b":")
                name = name.lower()
                if name == b"content-length" and value.strip().isdigit():
                    length = int(value)
                elif name == b"transfer-encoding":
                    chunks = b"chunked" in value
                elif name == b"expect":
                    self.wfile.write(head(b"100 Continue"))
                elif name == b"sec-websocket-key":
                    key = value.strip()
            if key:
                self.wfile.write(websocket(key))
                time.sleep(0.1)
                return
            while chunks:
                size = int(self.rfile.readline().split(b";")[0] or b"0", 16)
                self.rfile.read(size + 2)
                chunks = size > 0
            self.rfile.read(length)
            reply, close = answer(target)
            self.wfile.write(reply)
            if close:
                return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(address, port):
    if ":" in address:
        Server.address_family = socket.AF_INET6
    Server((address, port), Handler).serve_forever()


def get(target, *fields, host=b"odd.example.test", method=b"GET", version=b"HTTP/1.1"):
    return b"%s %s %s\r\n" % (method, target, version) + CRLF.join(
        (b"Host: " + host, *fields)) + CRLF + CRLF


def post(target, kind, content, *fields):
    return get(target, b"Content-Type: " + kind, b"Content-Length: %d" % len(content), *fields,
               method=b"POST") + content


def multipart():
    parts = [
        (b"form-data; name=\"text\"", b"text/plain; charset=utf-8", b"gr\xc3\xbc\xc3\x9fe\n"),
        (b"form-data; name=\"a\"; filename=\"\xe6\x97\xa5\xe6\x9c\xac.txt\"", b"text/plain",
         b"\xe3\x81\x93\xe3\x82\x93\n"),
        (b"form-data; name=\"b\"; filename=\"C:\\\\temp\\\\\\\"x\\\".gif\"", b"image/gif",
         b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"),
        (b"form-data; name=\"c\"; filename=\"bad \xff\xfe\x80.bin\"", b"application/x-b\xc3\xa4d",
         bytes(range(256))),
    ]
    out = b""
    for disposition, kind, content in parts:
        out += b"--=_edge\r\nContent-Disposition: %s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (
            disposition, kind, content)
    return out + b"--=_edge--\r\n"


def basic(user, password):
    return b"Authorization: Basic " + base64.b64encode(user + b":" + password)


def conversations():
    """Lists of byte strings; each list goes out over one connection."""
    agent = b"User-Agent: "
    yield [
        get(b"/caf\xc3\xa9/\xe2\x82\xac?q=\xf0\x9f\xa6\x8a", agent + "Б\u00fc\u6f22 \U0001f600".encode()),
        get("/\u202eright-to-left\u202c/\ufeffbom/e\u0301".encode(), agent + "\u2028\u2029\u0085".encode()),
        get(b"/noncharacter/\xef\xbf\xbf\xef\xbf\xbd", agent + b"\xef\xb7\x90"),
    ]
    yield [
        get(b"/invalid/\xff\xfe\x80", agent + b"latin-1 caf\xe9"),
        get(b"/overlong/\xc0\x80\xe0\x80\xaf", agent + b"\xc0\xaf"),
        get(b"/surrogate/\xed\xa0\xbd\xed\xb8\x80", agent + b"\xed\xa0\x80"),
        get(b"/beyond/\xf4\x90\x80\x80\xf8\x88\x80\x80\x80", agent + b"\xf5"),
        get(b"/cut/\xe2\x82", agent + b"cut \xf0\x9f\xa6"),
    ]
    yield [
        get(b"/control/\x01\x02\x07\x08\x0b\x0c\x1b[31m\x7f", agent + b"bell\x07 \x1b[1mbold\x1b[0m"),
        get(b"/tab\there", agent + b"tab\tin\tagent", b"Referer: http://x.test/\x01\t\x7f"),
        get(b"/c1/\xc2\x80\xc2\x85\xc2\x9f", agent + b"c1 \x80\x85\x9f"),
    ]
    yield [
        get(b"/quote\"back\\slash'`{}|<>^", agent + b"\"quoted\" \\ 'single' `tick`"),
        get(b"/\\u0041\\x41\\n%0a%00%5c%22", agent + b"\\\"\\\\\\x00\\u0000"),
        get(b"/json\":\"},{\"ts\":1}", agent + b"\"},{\"injected\":true,\"x\":\""),
        get(b"/comma,semi;colon:-(empty)", agent + b"-"),
        get(b"/-", agent + b"(empty)", b"Referer: -"),
    ]
    yield [get(b"/nul\x00in/path", agent + b"nul\x00in agent"), get(b"/\x00", agent + b"\x00")]
    yield [get(b"/long/" + b"0123456789abcdef" * 1800 + b"/end", agent + b"long uri")]
    yield [get(b"/longheader", agent + b"A/1.0 " * 1500 + b"\xc3\xa9",
               b"Referer: http://ref.test/" + b"r" * 4000, b"X-Pad: " + b"p" * 3000)]
    yield [get(b"/longutf8/" + "\u00e9\u4e16\U0001f600".encode() * 500)]
    yield [get(b"/host", host=b"h\xc3\xb6st.example.test:80"), get(b"/host2", host=b"bad\xffhost\"\\"),
           get(b"/hosts", b"Host: second.example.test"),
           b"GET /nohost HTTP/1.1\r\nUser-Agent: none\r\n\r\n"]
    yield [get(b"/folded", agent + b"folded\r\n  over \xc3\xa9\r\n\tlines", b"Empty:", b"no colon here")]
    yield [get(b"/proxied", b"X-Forwarded-For: 10.1.2.3, 2001:db8::99", b"Via: 1.1 caf\xc3\xa9 (\"x\")",
               b"X-Real-IP: 203.0.113.200", b"Forwarded: for=\"[2001:db8::1]\";by=\\\"x"),
           get(b"/origin", b"Origin: https://\xc3\xbc.example.test", b"Referer: https://r.test/?\"\\\xff")]
    yield [get(b"/auth", basic(b"al\xc3\xafce", b"p\"w\\:x")),
           get(b"/auth2", basic(b"nul\x00user\xff", b"")),
           get(b"/auth3", b"Authorization: Basic !!!not base64!!!"),
           get(b"/auth4", b"Authorization: Digest username=\"x\\\"y\"")]
    yield [get(b"/pipe%d" % i) + get(b"/pipe%d\xc3\xa9" % (i + 1)) + get(b"/teapot") for i in (1, 3)]
    yield [get(b"/status"), get(b"/teapot"), get(b"/early"), get(b"/none"), get(b"/moved")]
    yield [get(b"/chunked"), get(b"/gzip", b"Accept-Encoding: gzip"), get(b"/headers"), get(b"/kind")]
    yield [get(b"/named"), get(b"/star")]
    yield [get(b"/short")]
    yield [get(b"/oldstyle")]
    yield [get(b"/badcode")]
    yield [post(b"/upload", b"multipart/form-data; boundary=\"=_edge\"", multipart())]
    yield [post(b"/form", b"application/x-www-form-urlencoded", b"user=al%C3%AFce&pass=%00\"\\"),
           get(b"/chunkedpost", b"Transfer-Encoding: chunked", b"Content-Type: application/json",
               method=b"POST") + chunked(b'{"k": "v\\u0000\xc3\xa9"}' * 9, 50),
           post(b"/expect", b"text/plain", b"continue?\n", b"Expect: 100-continue")]
    yield [get(b"/", method=m) for m in (b"OPTIONS", b"PROPFIND", b"FR\xc3\x9cHST\xc3\x9cCK", b"get")]
    yield [get(b"*", method=b"OPTIONS"), get(b"http://abs.example.test/\xc3\xa9", host=b"abs.example.test")]
    yield [get(b"/future", version=b"HTTP/3.7"), get(b"/noversion", version=b"HTTP/")]
    yield [b"GET /nine\r\n\r\n"]
    yield [b"\x16\x03\x01 this is no request \xff\x00\r\n\r\n"]
    yield [get(b"/chat", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13",
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Protocol: ch\xc3\xa4t")]
    yield [b"GET /half HTTP/1.1\r\nHost: ha"]


def ask(address, port):
    for requests in conversations():
        with socket.create_connection((address, port), timeout=0.4) as connection:
            try:
                for request in requests:
                    connection.sendall(request)
                    if not connection.recv(65536):
                        break
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                pass


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))

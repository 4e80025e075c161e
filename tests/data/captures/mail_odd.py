#!/usr/bin/env python3
"""An SMTP server (aiosmtpd) and a client that sends odd messages.

Usage: mail_odd.py serve ADDRESS PORT CERTIFICATE KEY
       mail_odd.py send ADDRESS PORT FILES
"""

import email.mime.application
import email.mime.image
import email.mime.message
import email.mime.multipart
import email.mime.text
import email.policy
import pathlib
import smtplib
import ssl
import sys
import time


def serve(address, port, certificate, key):
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    class Handler:
        async def handle_RCPT(self, server, session, envelope, name, options):
            if name.startswith("nobody"):
                return "550 5.1.1 No such user: \u00bbn\u00f6body\u00ab \"\\\""
            envelope.rcpt_tos.append(name)
            return "250 2.1.5 Ok"

        async def handle_DATA(self, server, session, envelope):
            return "250 2.0.0 Ok: queued as 1234\u20ac"

        async def handle_VRFY(self, server, session, envelope, name):
            return "252 2.5.2 Perhaps"

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    controller = Controller(
        Handler(), hostname=address, port=int(port), tls_context=context, enable_SMTPUTF8=True,
        decode_data=False, auth_require_tls=False, ident="ESMTP Postb\u00fcro 1.0 \"test\"",
        authenticator=lambda *_: AuthResult(success=True), server_hostname="mail.example.test")
    controller.start()
    while True:
        time.sleep(60)


def attached(files):
    """A message with nested parts and attachments of several kinds."""
    message = email.mime.multipart.MIMEMultipart()
    message["From"] = '"Alice \\"A\\" \u00c5ngstr\u00f6m" <alice@example.test>'
    message["To"] = "bob@example.test, \u5f20\u4e09 <zhang@example.test>"
    message["Cc"] = '"O, Comma" <comma@example.test>'
    message["Subject"] = "Quarterly \u20ac report \U0001f4c8 with \"quotes\" and a \\ backslash"
    message["Date"] = "Thu, 01 Jan 2026 12:34:56 +0100"
    message["Message-ID"] = "<attached.1@example.test>"
    message["In-Reply-To"] = "<earlier.\u00e9@example.test>"
    message["X-Originating-IP"] = "[203.0.113.77]"
    message["X-Mailer"] = "Test Mailer 4.2"
    inner = email.mime.multipart.MIMEMultipart("alternative")
    inner.attach(email.mime.text.MIMEText("Gr\u00fc\u00dfe!\n", "plain", "utf-8"))
    inner.attach(email.mime.text.MIMEText("<p>Gr\u00fc\u00dfe!</p>\n", "html", "utf-8"))
    message.attach(inner)
    for name, shown in (
        ("picture.png", "pict\u00fcre \"1\".png"), ("setup.exe", "invoice.pdf.exe"),
        ("bundle.zip", "b\\undle.zip"), ("paper.pdf", "\u7d19.pdf"),
    ):
        part = email.mime.application.MIMEApplication((files / name).read_bytes())
        part.add_header("Content-Disposition", "attachment", filename=("utf-8", "", shown))
        message.attach(part)
    inside = email.mime.text.MIMEText("inner message\n")
    inside["Subject"] = "forwarded"
    message.attach(email.mime.message.MIMEMessage(inside))
    return message.as_bytes().replace(b"\n", b"\r\n")


RAW = b"""\
Received: from relay1.example.net (relay1.example.net [198.51.100.7])\r
\tby relay2.example.net (Postfix) with ESMTP id 1; Thu, 1 Jan 2026 00:00:00 +0000\r
Received: from [10.9.8.7] (helo=inside) by relay1.example.net ([2001:db8:9::7])\r
From: <caf\xc3\xa9@example.test>\r
To: one@example.test, "two, \\"2\\"" <two@example.test>,\r
\t=?utf-8?q?dr=C3=A9i?= <three@example.test>\r
Reply-To: \xff\xfe bad bytes <reply@example.test>\r
Subject: raw 8bit: \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e, latin-1: caf\xe9, control: \x01\x1b[31m, tab:\there\r
X-Mailer: B\xc3\xa4d "Mailer" \\ 0.1\xff\r
User-Agent: Mozilla/5.0 (test)\r
Message-ID: <"odd\\id"@example.test>\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset="x-\xc3\xbc"\r
Content-Transfer-Encoding: 8bit\r
\r
bytes \xff\xfe\x80 and NUL-free text\r
..leading dot\r
"""

ENCODED = b"""\
From: =?ISO-8859-1?Q?Andr=E9?= <andre@example.test>\r
To: undisclosed-recipients:;\r
Subject: =?UTF-8?B?w5xiZXJzY2hyaWZ0IPCfpoo=?=\r
 =?UTF-8?Q?_folded_=22quoted=22?=\r
Date: not a date\r
Content-Type: text/html\r
Content-Transfer-Encoding: quoted-printable\r
\r
<p>caf=C3=A9 =\r
soft break</p>\r
"""


def send(address, port, files):
    files = pathlib.Path(files)

    def connect(name):
        client = smtplib.SMTP(local_hostname=name)
        client._host = address
        client.connect(address, int(port))
        return client

    client = connect("client.example.test")
    client.ehlo()
    client.login("alice", "p\"ss\\word")
    client.sendmail("alice@example.test",
                    ["bob@example.test", "zhang@example.test", "comma@example.test"], attached(files))
    client.sendmail("", ["postmaster@example.test"], b"Subject: bounce\r\n\r\nempty sender\r\n")
    client.quit()

    client = connect("[192.168.7.22]")
    client.ehlo()
    many = [f"user{i}@example.test" for i in range(25)]
    client.sendmail("list-owner@example.test", many, ENCODED, mail_options=["BODY=8BITMIME"])
    client.quit()

    client = connect("caf\\\"e")
    client.ehlo()
    client.sendmail("caf\u00e9@example.test", ["one@example.test", "nobody@example.test", "\u4e8c@example.test"],
                    RAW, mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    client.quit()

    client = connect("old-style")
    client.helo("old-style")
    for command in ("VRFY al\\ice", "EXPN list", "NOOP", "HELP", "RSET", "FOO \"bar\"", "MAIL FROM:<a@b> SIZE=x"):
        client.docmd(command)
    client.docmd("MAIL FROM:<no-data@example.test>")
    client.docmd("RCPT TO:<nobody@example.test>")
    client.sock.sendall(b"\xff\xfe\x00 garbage\r\n")
    client.getreply()
    client.close()

    client = connect("tls.example.test")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client.starttls(context=context)
    client.ehlo()
    client.sendmail("alice@example.test", ["bob@example.test"], ENCODED)
    client.quit()

    client = connect("gone.example.test")
    client.ehlo()
    client.docmd("MAIL FROM:<cut@example.test>")
    client.docmd("RCPT TO:<bob@example.test>")
    client.docmd("DATA")
    client.sock.sendall(b"Subject: cut off\r\n\r\nthe connection ends he")
    client.close()


if __name__ == "__main__":
    {"serve": serve, "send": send}[sys.argv[1]](*sys.argv[2:])

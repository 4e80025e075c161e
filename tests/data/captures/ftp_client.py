#!/usr/bin/env python3
"""An FTP session with active and passive transfers and odd names.

Usage: ftp_client.py ADDRESS PORT USER PASSWORD FILES
"""

import ftplib
import io
import pathlib
import ssl
import sys


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except ftplib.all_errors as error:
        return error


def main():
    address, port, user, password, files = sys.argv[1:]
    files = pathlib.Path(files)

    def connect(kind=ftplib.FTP, **options):
        client = kind(timeout=10, **options)
        client.connect(address, int(port))
        return client

    client = connect()
    attempt(client.login, "anonymous", "guest\u00e9@example.test")
    client.close()

    client = connect()
    attempt(client.login, user, "wr\"ong\\")
    client.close()

    client = connect()
    client.login(user, password)
    for command in ("SYST", "FEAT", "STAT", "OPTS UTF8 ON", "SITE EXEC /bin/sh", "SITE CHMOD 600 x", "XYZZY \"\\"):
        attempt(client.sendcmd, command)
    attempt(client.mkd, "ordn\u00e9r \"1\"")
    attempt(client.cwd, "ordn\u00e9r \"1\"")
    for name, shown in (("picture.png", "b\u00efld \U0001f4f7.png"), ("paper.pdf", "back\\slash 'x'.pdf"),
                        ("latin1.txt", "plain.txt")):
        attempt(client.storbinary, "STOR " + shown, io.BytesIO((files / name).read_bytes()))
    attempt(client.retrlines, "LIST", lambda line: None)
    attempt(client.rename, "plain.txt", "renam\u00e9d.txt")
    attempt(client.size, "renam\u00e9d.txt")
    attempt(client.sendcmd, "MDTM renam\u00e9d.txt")
    attempt(client.retrbinary, "RETR renam\u00e9d.txt", lambda data: None)
    attempt(client.delete, "renam\u00e9d.txt")
    attempt(client.cwd, "/")
    attempt(client.retrbinary, "RETR missing \u00ff", lambda data: None)
    attempt(client.sendcmd, "RETR bad\\bytes")
    attempt(client.retrbinary, "RETR setup.exe", lambda data: None)
    attempt(client.retrbinary, "RETR big.txt", lambda data: None, 8192, 15000)
    client.set_pasv(False)
    attempt(client.retrbinary, "RETR bundle.zip", lambda data: None)
    attempt(client.retrlines, "NLST", lambda line: None)
    attempt(client.storbinary, "APPE appended.txt", io.BytesIO(b"more\n" * 20))
    attempt(client.sendcmd, "PORT 203,0,113,9,4,1")
    attempt(client.sendcmd, "EPRT |3|nonsense|x|")
    attempt(client.quit)

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = connect(ftplib.FTP_TLS, context=context)
    attempt(client.login, user, password)
    attempt(client.quit)


if __name__ == "__main__":
    main()

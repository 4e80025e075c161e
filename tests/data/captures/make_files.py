#!/usr/bin/env python3
"""Write the small files that the servers of make-captures.sh hand out.

Usage: make_files.py DIRECTORY

Everything is made from scratch with the standard library: pictures, archives,
documents and two tiny Windows executables (a 32-bit DLL-like file and a 64-bit
program) that are well-formed enough for a parser, but do nothing.
"""

import gzip
import io
import json
import os
import random
import struct
import sys
import wave
import zipfile
import zlib

RNG = random.Random(20)
EPOCH = 1_600_000_000


def png(width, height):
    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    rows = b"".join(
        b"\0" + bytes((x * y * k) & 0xFF for x in range(width) for k in (1, 3, 7))
        for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"tEXt", "Title\0na\u00efve".encode("latin-1"))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def gif():
    return (
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00"
        b"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00"
        b"\x02\x02D\x01\x00;"
    )


def pdf():
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] >>",
    ]
    out, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return out + b"startxref\n%d\n%%%%EOF\n" % start


def portable_executable(wide):
    """A PE32 or PE32+ file with four sections and some data directories."""
    stub = bytes.fromhex("0e1fba0e00b409cd21b8014ccd21")
    stub += b"This program cannot be run in DOS mode.\r\r\n$"
    stub = stub.ljust(64, b"\0")
    dos = b"MZ" + struct.pack("<29HI", 0x90, 3, 0, 4, 0, 0xFFFF, 0, 0xB8, *[0] * 21, 128)
    names = [b".text", b".rdata", b".data", b".reloc"]
    flags = [0x60000020, 0x40000040, 0xC0000040, 0x42000040]
    optional_size = (112 if wide else 96) + 16 * 8
    # 0x22: executable, large addresses; 0x2102: executable, 32 bit, DLL
    coff = struct.pack(
        "<HHIIIHH",
        0x8664 if wide else 0x14C,
        len(names),
        EPOCH,
        0,
        0,
        optional_size,
        0x22 if wide else 0x2102,
    )
    align, file_align = 0x1000, 0x200
    optional = struct.pack(
        "<HBBIIIII", 0x20B if wide else 0x10B, 14, 2, file_align, file_align * 3, 0, align, align
    )
    optional += struct.pack("<Q", 0x140000000) if wide else struct.pack("<II", align * 2, 0x400000)
    optional += struct.pack("<II6HIIIIHH", align, file_align, 6, 1, 0, 0, 6, 1, 0,
                            align * (len(names) + 1), file_align * 2, 0,
                            3 if wide else 2, 0x8160 if wide else 0x140)
    optional += struct.pack("<4Q" if wide else "<4I", 0x100000, 0x1000, 0x100000, 0x1000)
    optional += struct.pack("<II", 0, 16)
    directories = [(0, 0)] * 16
    directories[0] = (0, 0) if wide else (align * 2, 40)  # exports
    directories[1] = (align * 2 + 64, 40)  # imports
    directories[5] = (align * 4, 12)  # relocations
    directories[6] = (align * 2 + 128, 28) if wide else (0, 0)  # debug
    optional += b"".join(struct.pack("<II", *entry) for entry in directories)
    assert len(optional) == optional_size
    sections, body = b"", b""
    for index, (name, flag) in enumerate(zip(names, flags, strict=True)):
        data = bytes([0xC3]) * 16 if index == 0 else RNG.randbytes(400)
        data = data.ljust(file_align, b"\0")
        sections += struct.pack(
            "<8sIIIIIIHHI", name, len(data), align * (index + 1), file_align,
            file_align * (index + 2), 0, 0, 0, 0, flag,
        )
        body += data
    header = dos + stub + b"PE\0\0" + coff + optional + sections
    return header.ljust(file_align * 2, b"\0") + body


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("read me.txt", "nothing to see\n" * 20)
        packed.writestr("gr\u00fc\u00dfe/\u65e5\u672c.txt", "\u3053\u3093\u306b\u3061\u306f\n")
    return buffer.getvalue()


def sound():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(8000)
        out.writeframes(bytes(128 + (i * 7) % 64 for i in range(800)))
    return buffer.getvalue()


def main():
    root = sys.argv[1]
    html = '<!DOCTYPE html><meta charset="utf-8"><title>{}</title><p>{}\n'
    text = "The quick brown fox jumps over the lazy dog. \u00bd \u20ac \U0001f98a\n"
    files = {
        "index.html": html.format("Test", "hello " * 30).encode(),
        "gr\u00fc\u00dfe \U0001f600.html": html.format("\u00fc", "\u00df").encode(),
        "big.txt": (text * 300).encode(),
        "numbers.json": json.dumps({"n": list(range(200)), "s": 'a"b\\c\u2028'}).encode(),
        "page.xml": b'<?xml version="1.0"?><a b="c">d</a>\n',
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><g/></svg>\n',
        "picture.png": png(24, 24),
        "dot.gif": gif(),
        "paper.pdf": pdf(),
        "sound.wav": sound(),
        "bundle.zip": archive(),
        "notes.txt.gz": gzip.compress((text * 10).encode(), mtime=EPOCH),
        "setup.exe": portable_executable(wide=True),
        "helper.dll": portable_executable(wide=False),
        "random.bin": RNG.randbytes(5000),
        "latin1.txt": "caf\u00e9 na\u00efve\n".encode("latin-1") * 5,
        "empty.txt": b"",
        "script.sh": b"#!/bin/sh\necho hello\n",
    }
    os.makedirs(root, exist_ok=True)
    for name, content in files.items():
        with open(os.path.join(root, name), "wb") as out:
            out.write(content)


if __name__ == "__main__":
    main()

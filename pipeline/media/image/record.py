"""The record of its settings that an image or a video carries: its name, its largest size, its form as XMP."""

from __future__ import annotations

import html
import re
import struct
from typing import Final

RECORD_KEY: Final = "tempera"
"""What the record is called where a file gives names to texts: in PNG, GIF, EXR, MKV and WebM."""
MAX_RECORD_BYTES: Final = 48_000
"""A segment of JPEG holds 65,533 bytes."""
XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Of the box in MP4 and MOV that holds an XMP packet (ISO 16684-3)."""
_NAMESPACE: Final = "https://tempera.invalid/xmp/1.0/"  # a name that belongs to nobody
_PROPERTY: Final = re.compile(
    rb"<tempera:Settings>([^<]{1,400000})</tempera:Settings>|tempera:Settings=\"([^\"<]{1,400000})\""
)


def xmp_packet(record: str) -> bytes:
    """An XMP packet (ISO 16684-1) with the record, a text without control characters, as the only property."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:tempera="{_NAMESPACE}">'
        f"<tempera:Settings>{html.escape(record, quote=False)}</tempera:Settings>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def xmp_box(record: str) -> bytes:
    """The packet as a box that stands behind all others in MP4 and MOV."""
    packet = xmp_packet(record)
    return struct.pack(">I", 24 + len(packet)) + b"uuid" + XMP_UUID + packet


def record_in_xmp(packet: bytes) -> str | None:
    """The record in a packet, also as other programs write it again; None if there is none.

    The packet is not parsed as XML, so nothing in it is expanded.
    """
    match = _PROPERTY.search(packet)
    return html.unescape((match[1] or match[2]).decode("utf-8", errors="replace")) if match else None

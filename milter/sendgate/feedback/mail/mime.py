"""Read a message, however broken: its header and all its parts in one row, those of embedded messages too.

In: the octets of a message; of a long one only the head and the tail are looked at. Out: a `Message`.
Nothing is refused. The standard library's parser is not used: it is slower, and it raises on some of what comes back.

    bare CR, CR CR LF       ends of lines
    "From " line            passed over
    boundary missing        guessed from the parts' own headers
    unknown charset         UTF-8, else latin-1
    depth, number of parts  bounded; what lies deeper is text
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field

from sendgate.feedback.mail.headers import (
    EMPTY,
    Headers,
    decode_base64,
    decode_octets,
    octets_text,
    read_content_type,
    read_headers,
)

HEAD_OCTETS = 192 * 1024
TAIL_OCTETS = 32 * 1024
MOST_PARTS = 200
MOST_DEPTH = 16

EMBEDDED_TYPES = frozenset({"message/rfc822", "message/global", "message/news"})
HEADER_TYPES = frozenset(
    {"text/rfc822-headers", "message/rfc822-headers", "text/rfc822-header", "message/global-headers"}
)
_MESSAGE_TEXTS = (
    "message/delivery-status",
    "message/global-delivery-status",
    "message/feedback-report",
    "message/disposition-notification",
    "message/global-disposition-notification",
)
_FROM_LINE = re.compile(r"(?:\s*\n)*(?:>?From [^\n]*\n)?")
_PASTED = re.compile(r"^(?:Return-Path|Received|From|MIME-Version|Date):", re.MULTILINE | re.IGNORECASE)
_GUESSED = re.compile(r"^--([!-~](?:[ -~]{0,68}[!-~])?)[ \t]*\nContent-[A-Za-z-]{1,40}:", re.MULTILINE)
_ENDS = " \t\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message.

    type: `text/plain`, lower case; headers: its own (the message's when that has no parts); depth: of nesting,
    0 for the whole message; embedded: it is, or is in, another message that this one carries;
    inner: for an embedded message (or its header alone) the header of that one, else None.
    """

    type: str
    parameters: dict[str, str]
    headers: Headers
    depth: int
    embedded: bool
    inner: Headers | None = None
    _body: str = ""
    _texts: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The text: transfer encoding and charset decoded, lines ended by "\\n". "" for a container or a file."""
        if not self._texts:
            self._texts.append(_text_of(self))
        return self._texts[0]


@dataclass(frozen=True, slots=True)
class Message:
    """A message. parts: all, containers too, in their order; the first is the message itself."""

    headers: Headers
    parts: tuple[Part, ...]

    @property
    def type(self) -> str:
        return self.parts[0].type

    @property
    def parameters(self) -> dict[str, str]:
        return self.parts[0].parameters

    def of_type(self, *types: str) -> list[Part]:
        """The parts of one of these types, in embedded messages too."""
        return [part for part in self.parts if part.type in types]


def read_message(data: bytes) -> Message:
    """Read a message. Never raises."""
    if len(data) > HEAD_OCTETS + TAIL_OCTETS:
        data = data[:HEAD_OCTETS] + b"\n" + data[-TAIL_OCTETS:]
    text = data.decode("latin-1")
    if "\r" in text:
        text = _with_lf(text)
    parts: list[Part] = []
    headers = _read_entity(text, _Place(parts, 0, False), message=True)
    return Message(headers, tuple(parts))


def read_pasted(text: str) -> Message:
    """Read a message that is pasted into a text, perhaps without its header: then the boundary is guessed."""
    found = _PASTED.search(text[:2000])
    octets = text[found.start() if found else 0 :].encode("utf-8", "replace")
    message = read_message(octets)
    if len(message.parts) > 1:
        return message
    guessed = _GUESSED.search(text)
    return read_message(b"Content-Type: multipart/mixed\n\n" + text.encode("utf-8", "replace")) if guessed else message


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree we are, and the row that parts are added to."""

    parts: list[Part]
    depth: int
    embedded: bool

    def below(self, embedded: bool = False) -> _Place:
        return _Place(self.parts, self.depth + 1, self.embedded or embedded)


def _read_entity(text: str, place: _Place, message: bool, default: str = "text/plain") -> Headers:
    """Read one entity (a message, or a part of one) and what is in it. Returns its header."""
    start = 0
    if message:
        beginning = _FROM_LINE.match(text)
        start = beginning.end() if beginning else 0
    headers, position = read_headers(text, start)
    kind, parameters = read_content_type(headers.get("content-type"))
    kind = kind if "/" in kind else default
    body = text[position:]
    deeper = place.depth < MOST_DEPTH and len(place.parts) < MOST_PARTS
    if kind.startswith("multipart/") and deeper:
        pieces = _split(body, parameters.get("boundary", ""))
        if pieces:
            place.parts.append(Part(kind, parameters, headers, place.depth, place.embedded))
            inner = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            for piece in pieces[:MOST_PARTS]:
                _read_entity(piece, place.below(), message=False, default=inner)
            return headers
        kind = "text/plain"
    if kind in EMBEDDED_TYPES and deeper:
        _read_embedded(kind, parameters, headers, body, place)
    elif kind in HEADER_TYPES:
        inner_headers = read_headers(_transfer_decoded(headers, body).lstrip("\n"))[0]
        place.parts.append(Part(kind, parameters, headers, place.depth, True, inner_headers, body))
    elif len(place.parts) < MOST_PARTS:
        place.parts.append(Part(kind, parameters, headers, place.depth, place.embedded, None, body))
    return headers


def _read_embedded(kind: str, parameters: dict[str, str], headers: Headers, body: str, place: _Place) -> None:
    """Add an embedded message: first a part that holds its header, then its own parts."""
    at = len(place.parts)
    place.parts.append(Part(kind, parameters, headers, place.depth, True, EMPTY))
    inner = _read_entity(_transfer_decoded(headers, body), place.below(embedded=True), message=True)
    place.parts[at] = Part(kind, parameters, headers, place.depth, True, inner)


def _split(body: str, boundary: str) -> list[str]:
    """The pieces between boundary lines; [] when there is no boundary line at all."""
    if not boundary or f"--{boundary.rstrip()}" not in body:
        guessed = _GUESSED.search(body)
        if guessed is None:
            return []
        boundary = guessed[1]
    delimiter = f"\n--{boundary.rstrip()}"
    text = "\n" + body
    pieces: list[str] = []
    start = -1
    position = text.find(delimiter)
    while position >= 0 and len(pieces) < MOST_PARTS:
        after = position + len(delimiter)
        closing = text.startswith("--", after)
        line_end = text.find("\n", after)
        line_end = len(text) if line_end < 0 else line_end
        if not closing and text[after:line_end].strip():  # a longer boundary that begins like ours
            position = text.find(delimiter, after)
            continue
        if start >= 0:
            pieces.append(text[start:position])
        if closing:
            return pieces
        start = line_end + 1
        position = text.find(delimiter, line_end)
    if start >= 0 and len(pieces) < MOST_PARTS:
        pieces.append(text[start:])
    return pieces


def _transfer_decoded(headers: Headers, body: str) -> str:
    """The octets of a body (as latin-1) without its transfer encoding."""
    encoding = headers.get("content-transfer-encoding").strip().lower()
    if encoding == "base64" and not _looks_plain(body):
        decoded = decode_base64(body).decode("latin-1")
    elif encoding == "quoted-printable":
        decoded = binascii.a2b_qp(body.encode("latin-1")).decode("latin-1")
    else:
        return body
    return _with_lf(decoded) if "\r" in decoded else decoded


def _with_lf(text: str) -> str:
    return text.replace("\r\r\n", "\r\n").replace("\r\n", "\n").replace("\r", "\n")


def _looks_plain(body: str) -> bool:
    """Whether a body said to be base64 is none: its first line holds what base64 never does."""
    line = body.lstrip()[:76].partition("\n")[0]
    return bool(re.search(r"[ :<>@.]", line.strip()))


def _text_of(part: Part) -> str:
    if not part.type.startswith("text/") and part.type not in _MESSAGE_TEXTS and not part.type.startswith("message/"):
        return ""
    octets = _transfer_decoded(part.headers, part._body)
    charset = part.parameters.get("charset", "").strip("'\" ").lower()
    if octets.isascii() and "\x1b" not in octets and charset not in ("utf-7", "utf7", "unicode-1-1-utf-7"):
        return octets
    if charset in ("", "us-ascii", "ascii"):
        return octets_text(octets)
    return decode_octets(octets.encode("latin-1", "replace"), charset)

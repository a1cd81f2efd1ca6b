"""The words of a report: what a mail system wrote to us, without the message that it returns.

In: a message. Out: a `Report`: the text and its lines, and the `Original` that came with it.
Nothing is refused. Only the first MOST_TEXT characters and MOST_LINES lines are looked at.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import islice

from sendgate.feedback.mail.headers import EMPTY, Headers, read_headers
from sendgate.feedback.mail.mime import Message
from sendgate.feedback.mail.original import NO_ORIGINAL, Original, addresses_of, read_original
from sendgate.feedback.mail.phrases import FAILURE, SUCCESS, fold

MOST_TEXT = 24_000
MOST_LINES = 400
_FEW_LETTERS = 20

_OWN = ("to", "cc", "delivered-to", "from", "reply-to", "sender", "return-path", "errors-to")

# What stands before the returned message. The words count only in a line that is set off by dashes and the like, or
# that has header fields below it: many reports say in their first sentence that the message is attached.
_RETURNED = re.compile(
    r"copy of|(?:text|contents?|body) of (?:your|the) (?:original )?message"
    r"|message (?:text|headers?|body|contents?|source|follows)|mail info|message reads|top \d{1,5} lines"
    r"|(?:original|returned|returning|unsent|undelivered|forwarded|rejected|included|start of)"
    r" (?:message|mail|e-?mail|letter|header)"
    r"|header of the|your message (?:follows|was|is below)"
    r"|message (?:d'origine|original|initial)|(?:en-t[êe]tes?|copie) d"
    r"|original(?:nachricht|mail|kopfzeilen)|urspr[üu]ngliche nachricht|kopie (?:der|ihrer)|kopfzeilen"
    r"|mens(?:aje|agem) original|copia d|c[óo]pia d|encabezados|cabe[çc]alhos|messaggio originale|intestazioni"
    r"|ursprungsmeddel|ursprungshuvuden|oorspronkelijk|kopie van"
    r"|исходно|копия|заголовки|元の|オリジナル|原(?:信|邮|郵|始|文|件)|メッセージヘッダ|エラーメール",
    re.IGNORECASE,
)
_SET_OFF = re.compile(
    r"^[ \t|>]{0,12}[-=*_~#+]{2}"
    r"|^.{0,30}\b(?:text|contents?|body) of (?:your|the) (?:original )?message.{0,30}:[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_FIELDS = re.compile(
    r"^[> \t]{0,8}(?:Received|Return-Path|DKIM-Signature|DomainKey-Signature|ARC-Seal|X-Received|X-Google-Smtp-Source"
    r"|X-Originating-IP|X-YMail-OSG|X-Virus-Scanned|Authentication-Results|Message-ID|MIME-Version|Delivered-To"
    r"|From|To|Subject|Date|Reply-To):",
    re.MULTILINE | re.IGNORECASE,
)
_FIRST_OF_FIELDS = re.compile(
    r"^(?:Received|Return-Path|DKIM-Signature|ARC-Seal|X-Received|X-Google-Smtp-Source|X-Originating-IP|X-YMail-OSG"
    r"|Delivered-To|Authentication-Results): ?\S",
    re.MULTILINE | re.IGNORECASE,
)
_FEWEST_FIELDS = 3
_MOST_TRIED = 40

_UNSEEN = re.compile(r"<(script|style|head|title)\b.{0,20000}?</\1\s*>", re.IGNORECASE | re.DOTALL)
_BREAK = re.compile(
    r"<(?:br|/?p|/?div|/?tr|/?li|/?h[1-6]|/?table|/?pre|hr|/?blockquote)\b[^<>]{0,2000}>", re.IGNORECASE
)
_CELL = re.compile(r"</t[dh]\s*>", re.IGNORECASE)
_TAG = re.compile(r"<[/!?]?[A-Za-z!-][^<>@]{0,2000}>|<a\s[^<>]{0,2000}>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Report:
    """What a mail system wrote. own: addresses that are not those of a failed recipient: ours and the reporter's."""

    headers: Headers
    text: str
    lines: tuple[str, ...]
    original: Original
    own: frozenset[str]

    @property
    def is_success(self) -> bool:
        """Whether it tells that a message was delivered, and of no failure."""
        if "success" not in self.text[:4000].lower() and "deliver" not in self.text[:4000].lower():
            return False
        words = fold(self.text[:4000])
        return SUCCESS.are_in(words) and not FAILURE.are_in(words)

    def is_own(self, address: str) -> bool:
        """Whether an address is ours, or the reporter's; not when we sent the message to it."""
        return address in self.own and address not in self.original.recipients


def read_report(message: Message) -> Report:
    """Find the words of a report and the message it is about."""
    text, returned = _cut(own_text(message))
    attached = next((part.inner for part in message.parts if part.inner is not None), EMPTY)
    original = read_original(attached) if attached.items else read_original(returned)
    own = {*addresses_of(message.headers, _OWN), *original.senders}
    if attached.items and returned.items and not original.recipients:
        original = read_original(returned)
    lines = text.split("\n", MOST_LINES)[:MOST_LINES]
    return Report(message.headers, text, tuple(lines), original, frozenset(own))


def own_text(message: Message) -> str:
    """The text that is not in an embedded message: the plain parts, else the HTML parts without their tags."""
    plain: list[str] = []
    pages: list[str] = []
    for part in message.parts:
        if part.embedded or not part.type.startswith("text/") or part.inner is not None:
            continue
        (pages if part.type.startswith("text/html") else plain).append(part.text[:MOST_TEXT])
    text = "\n\n".join(plain)
    if len(text.strip()) < _FEW_LETTERS:
        text += "\n\n" + "\n\n".join(without_tags(page) for page in pages)
    elif not pages and text.lstrip()[:5].lower() in ("<html", "<!doc"):
        text = without_tags(text)
    return text[:MOST_TEXT]


def without_tags(page: str) -> str:
    """The text of an HTML page."""
    page = _CELL.sub(" ", _BREAK.sub("\n", _UNSEEN.sub(" ", page)))
    return html.unescape(_TAG.sub("", page)).replace("\xa0", " ")


def _cut(text: str) -> tuple[str, Headers]:
    """Cut the returned message off. Returns the words before it, and its header."""
    cut = len(text)
    first = _FIRST_OF_FIELDS.search(text)
    if first is not None and len(read_headers(text, first.start())[0].items) >= _FEWEST_FIELDS:
        cut = first.start()
    for start in _set_off_lines(text[:cut], text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        if 3 < end - start < 200 and _RETURNED.search(text, start, end):
            return text[:start], _header_in(text[end:])
    return text[:cut], _header_in(text[cut:])


def _set_off_lines(words: str, text: str) -> list[int]:
    """Where the lines begin that are set off by dashes, or are the last before header fields."""
    starts = {line.start() for line in _SET_OFF.finditer(words)}
    for field in islice(_FIELDS.finditer(text), _MOST_TRIED):
        above = text[: field.start()].rstrip()
        start = above.rfind("\n") + 1
        if start < len(words):
            starts.add(start)
    return sorted(starts)


def _header_in(text: str) -> Headers:
    """The header at the beginning of a text, after at most a few lines of other things; empty when there is none."""
    first = _FIELDS.search(text[:1500])
    if first is None:
        return EMPTY
    headers = read_headers(text, first.start())[0]
    return headers if len(headers.items) > 1 else EMPTY


NO_REPORT = Report(EMPTY, "", (), NO_ORIGINAL, frozenset())

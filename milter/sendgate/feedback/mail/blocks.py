"""The lines of a report: which begin with an address, and which words belong to that address.

In: a `Report`. Out: `Line`s, and the words about an address. Nothing is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from sendgate.feedback.mail.addresses import Found, find_addresses, spelling
from sendgate.feedback.mail.phrases import FAILURE, fold
from sendgate.feedback.mail.report import Report

MOST_REASON = 3000
_MOST_BLOCK = 25
_MOST_ABOVE = 60
_MOST_PLACES = 20

_LEAD = re.compile(
    r"[\s>*\-|.\u2022\u00b7=#+]*(?:\d{1,3}[.)]\s+|[45]\d\d(?:[- ][45]\.\d{1,3}\.\d{1,3})?[- ]\s*)?"
    r"(?:(?:smtp|local)\s{1,8}(?=<))?[<\[('\"`\u300c]*(?:(?:rfc822|mailto|smtp)[:;]\s*)?<?",
    re.IGNORECASE,
)
_NAME = re.compile(r"[\s>*\-\"']{0,20}(?:[A-Z\u00c0-\u00de][\w.'-]{0,40},?\"?\s{1,3}){1,4}[<(]")
_TAIL = re.compile(r"[>\])'\"`\u300d]*(?:\s*[<(\[](?:mailto:)?[^\s<>]{1,320}[>)\]])?")
_CODED = re.compile(r"(?:^|[\s:'\"(#>])([45]\d\d)(?:[- ]|$)")
_BETWEEN = re.compile(r"[\s<>,;'\"()\[\]\u3001\uff0c]{1,20}(?:(?:and|und|et|y|e|и|和|と)\s{1,4}<?)?")
_SENTENCE_END = re.compile(r"[.!?]\s|[。！？]|\n\s*\n")
_ACCEPTED = re.compile(r"(?:^|[\s:'\"(#>])2\d\d[- ](?:2\.\d{1,3}\.\d{1,3}|ok\b)", re.IGNORECASE)
_BARE_CODE = re.compile(r"\s*([45]\d\d) ")
_RULE = re.compile(r"\s*[-=*_~#|+]{3,}")
_SECTION = re.compile(r"\s*(?:[-=*_~#|]{2,}.{1,100}[-=*_~#|:]|-{3,}\s*\S.{0,100})\s*$")
# Words before an address that make it somebody else's: whom to ask, who wrote, what the message is called.
_NOT_A_RECIPIENT = re.compile(
    r"(?<![A-Za-z])(?:contact|consult|help|support|reach us|assist\w*|question\w*|postmaster"
    r"|administrator|admin|abuse|inform|notify|(?:may|can|please|or|also|by) e?-?mail"
    r"|(?<!unable to )(?<!able to )(?<!not )(?<!n't )(?<!cannot )(?<!failed to )(?<!tried to )(?<!trying to )"
    r"(?:send|write|forward|reply|respond|complain|please e?-?mail)(?: [\w-]{1,12}){0,4} to"
    r"|return-path|envelope[- ]from|mail from|sender|from|reply-to|(?:message|resent)[- ]?id|id|in-reply-to|references"
    r"|e\.g\.,?(?: if)?|for example,?|such as|hello|hi|dear|hallo|bonjour|hola|ol[áa]|ciao"
    # where the person is now
    r"|(?:new|neue|nouvelle|nueva|nuovo|novo|nova)(?: e-?mail)?[ -]?"
    r"(?:address|adresse|direcci[óo]n|indirizzo|endere[çc]o)"
    r"(?: (?:is|ist|est|es|[èée]))?|use|using|instead|try|now at|moved to|changed to|replaced by|redirected to|via"
    r"|新しい(?:メール)?アドレスは?|新(?:地址|邮箱|郵箱)|новый адрес"
    r"|(?:absender|von|exp[ée]diteur|de|remitente|remetente|mittente|отправитель|от"
    r"|発信者|送信者|差出人|发件人|寄件者)(?=\s*[:：]))"
    r"[\s:：=<\[('\"*-]{0,8}$",
    re.IGNORECASE,
)
FORWARDED = re.compile(
    r"(?:\((?:ultimately )?(?:generated|expanded|redirected|forwarded) from|\((?:was )?(?:originally )?addressed to"
    r"|undeliverable to|failed to deliver to|delivery userid)\s*[:=]?\s*[<('\"]{0,2}$",
    re.IGNORECASE,
)
"""Words before the address that a message was sent to, when another one failed."""
_REDIRECTED = re.compile(
    r"\((?:ultimately )?(?:generated|expanded|redirected|forwarded) from\s*[:=]?\s*[<('\"]{0,2}$", re.IGNORECASE
)
_ASK_THERE = re.compile(
    r"[>\])'\"]{0,3}\s{0,3}(?:for (?:help|assist|support|further|more|info)|if you|へ"
    r"|(?:まで|に)(?:ご連絡|お問))",
    re.IGNORECASE,
)
_MESSAGE_ID = re.compile(r"message-?id|message identifier|\bid\b\s*[:=]", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """One line of a report. found: the addresses in it that may be a failed recipient's."""

    number: int
    text: str
    found: tuple[Found, ...]

    @cached_property
    def leading(self) -> Found | None:
        """The address that the line begins with, but for bullets and brackets."""
        if not self.found:
            return None
        first = self.found[0]
        lead = _LEAD.match(self.text)
        if lead is not None and lead.end() >= first.start:
            return first
        return first if _NAME.fullmatch(self.text, 0, first.start) and not self.after(first)[:1].isalnum() else None

    def after(self, found: Found) -> str:
        """What follows an address in its line."""
        tail = _TAIL.match(self.text, found.end)
        return self.text[tail.end() if tail else found.end :]


_END = Line(-1, "", ())


class Lines:
    """All lines of a report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.all = [self._read(number, text) for number, text in enumerate(report.lines)]

    @cached_property
    def _is_success(self) -> bool:
        return self.report.is_success

    @cached_property
    def with_addresses(self) -> list[Line]:
        """The lines that hold an address."""
        return [line for line in self.all if line.found]

    def is_announced(self, line: Line) -> bool:
        """Whether a line that begins with an address tells of a failure, or what stands above or below it does."""
        if line.leading is None:
            return False
        after = line.after(line.leading).strip()
        if after.startswith((":", "：", "...")) or _BARE_CODE.match(line.text):
            return True
        return self._is_introduced(line) or self._is_explained(line, line.leading)

    def _is_introduced(self, line: Line) -> bool:
        above = [one for one in self.all[max(0, line.number - _MOST_ABOVE) : line.number] if one.text.strip()]
        while above and above[-1].leading is not None:
            above.pop()
        if not above:
            return False
        last = above[-1].text.rstrip()
        if _NOT_A_RECIPIENT.search(last):
            return False
        is_heading = last.endswith((":", "：", ": *")) or _SECTION.match(last) is not None
        return is_heading or FAILURE.are_in(fold(" ".join(one.text for one in above[-2:])))

    def _is_explained(self, line: Line, found: Found) -> bool:
        reason = self.reason_after(line, found)
        return _CODED.search(reason) is not None or FAILURE.are_in(fold(reason))

    def listed_with(self, line: Line, found: Found) -> list[Found]:
        """An address, and those that follow it in its line with nothing but commas and the like between."""
        listed = [found]
        for other in line.found:
            if other.start > listed[-1].end and _BETWEEN.fullmatch(line.text, listed[-1].end, other.start):
                listed.append(other)
        return listed

    def forwarded_from(self, line: Line, leading: Found) -> str:
        """The address from which mail went on to the leading one, as its line or the next ones tell; else ""."""
        below = takewhile(lambda one: one.leading is None, self.all[line.number + 1 : line.number + 3])
        before = [
            found.text
            for one in (line, *below)
            for found in one.found
            if found is not leading and _REDIRECTED.search(one.text[max(0, found.start - 60) : found.start])
        ]
        return before[-1] if before else ""

    def sentence_with(self, line: Line, found: Found) -> str:
        """The sentence in which an address stands, as far as it is in the lines next to its own."""
        above = "\n".join(one.text for one in self.all[max(0, line.number - 2) : line.number])
        below = "\n".join(one.text for one in self.all[line.number + 1 : line.number + 3])
        before, after = f"{above}\n{line.text[: found.start]}", f"{line.text[found.end :]}\n{below}"
        return f"{_SENTENCE_END.split(before)[-1]} {_SENTENCE_END.split(after, 1)[0]}"

    def reason_after(self, line: Line, found: Found) -> str:
        """The words that follow an address in a list: in its line, and in those below up to the next address."""
        own = spelling(found.text)
        words = [self._said_in(line, found)]
        blank, coded = False, _BARE_CODE.match(line.text) is not None
        for below in self.all[line.number + 1 : line.number + 1 + _MOST_BLOCK]:
            text = below.text.strip()
            if not text:
                blank = True
                if any(words):
                    break
                continue
            if _SECTION.match(below.text) or _RULE.fullmatch(below.text):
                break
            if below.leading is not None and spelling(below.leading.text) != own:
                break
            if blank and below.found and own not in map(spelling, (one.text for one in below.found)):
                break
            if coded and _BARE_CODE.match(below.text):  # the next statement of a transcript
                break
            if blank and not any(words) and self._heads_others(below, own):
                break
            words.append(text)
        return _joined(words)

    def heading_of(self, line: Line) -> str:
        """The line that heads the list in which an address stands: `Unknown users:`; "" when there is none."""
        above = reversed(self.all[max(0, line.number - _MOST_ABOVE) : line.number])
        last = next((one.text.strip() for one in above if one.text.strip() and one.leading is None), "")
        return last if last.endswith((":", "：")) else ""

    def coded(self, names: set[str]) -> str:
        """The paragraph that holds an SMTP code, among those of no other recipient."""
        words: list[str] = []
        for line in [*self._not_of_others(names), _END]:
            text = line.text.strip()
            if text:
                words.append(text)
                continue
            if any(_CODED.search(word) for word in words):
                break
            words = []
        return _joined(words)

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[Line, Found]]]:
        """Where each address stands; in a line that holds it twice, the first."""
        places: dict[str, list[tuple[Line, Found]]] = {}
        for line in self.with_addresses:
            for name, found in {spelling(one.text): one for one in reversed(line.found)}.items():
                places.setdefault(name, []).append((line, found))
        return places

    def reasons_about(self, names: set[str]) -> list[str]:
        """The words around each mention of an address: its line, and the lines that go on with it."""
        places = [place for name in names for place in self._by_name.get(name, [])[:_MOST_PLACES]]
        places.sort(key=lambda place: place[0].number)
        reasons = {
            self.reason_after(line, found) if line.leading is found else self._around(line): None
            for line, found in places
        }
        return [reason for reason in reasons if reason]

    def rest(self, names: set[str]) -> str:
        """The words that belong to no other recipient than these."""
        return _joined([line.text.strip() for line in self._not_of_others(names)])

    def _not_of_others(self, names: set[str]) -> Iterator[Line]:
        """The lines but those that lead with another recipient, and those below up to an empty one."""
        others = False
        for line in self.all:
            if line.leading is not None:
                others = self._is_another(line.leading, names)
            elif not line.text.strip() or _SECTION.match(line.text):
                others = False
            if not others:
                yield line

    def _around(self, line: Line) -> str:
        """A line in the middle of which an address stands, with the lines above and below that its sentence fills."""
        words = [line.text.strip()]
        for below in self.all[line.number + 1 : line.number + 7]:
            text = below.text.strip()
            if not text or _SECTION.match(below.text) or below.leading is not None:
                break
            words.append(text)
        for above in reversed(self.all[max(0, line.number - 2) : line.number]):
            text = above.text.strip()
            if not text or _SECTION.match(above.text) or above.found:
                break
            words.insert(0, text)
        return _joined(words)

    def _heads_others(self, line: Line, name: str) -> bool:
        """Whether a line is the heading of a list of other addresses."""
        if not line.text.rstrip().endswith((":", "：")):
            return False
        below = next((one for one in self.all[line.number + 1 : line.number + 3] if one.text.strip()), None)
        return below is not None and below.leading is not None and spelling(below.leading.text) != name

    def _is_another(self, found: Found, names: set[str]) -> bool:
        name = spelling(found.text)
        return name not in names and not self.report.is_own(name)

    def _said_in(self, line: Line, found: Found) -> str:
        """What a line says besides the address."""
        after = line.after(found).strip(" \t:;,-")
        return line.text.strip() if after or _BARE_CODE.match(line.text) else ""

    def _read(self, number: int, text: str) -> Line:
        if "@" not in text:
            return Line(number, text, ())
        if _ACCEPTED.search(text) and not _CODED.search(text) and not self._is_success:
            return Line(number, text, ())
        return Line(number, text, tuple(one for one in find_addresses(text[:2000]) if self._may_be_failed(text, one)))

    def _may_be_failed(self, line: str, found: Found) -> bool:
        before = line[max(0, found.start - 80) : found.start]
        if FORWARDED.search(before):
            return not self.report.is_own(spelling(found.text))
        if _NOT_A_RECIPIENT.search(before) or _MESSAGE_ID.search(before) or _ASK_THERE.match(line, found.end):
            return False
        return not self.report.is_own(spelling(found.text))


def _joined(words: list[str]) -> str:
    return " ".join(word for word in words if word)[:MOST_REASON]

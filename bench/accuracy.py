"""How right feedback is: a corpus of messages, server replies and log lines, through the product's own parsers.

In: a folder as `accuracy_corpus` reads it, and what to print. Out: a report for each kind, by set: recipients found,
class within what is tolerated, false hards, persons that had to be suppressed, persons that must not, exceptions, and
rates. With `misses` all that is not as it should be, one a line, in `Report.details`.
Refused: `CorpusError` when there is no corpus; a part of the product that is missing is named in the report instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import accuracy_product as product
from bench.accuracy_corpus import Corpus, LogRow, MessageRow, ReplyRow, find_folder, read_corpus
from bench.accuracy_day import day
from bench.accuracy_product import MissingPartError
from bench.accuracy_score import MISSING, Score, score_line, score_line_class, score_message, score_reply
from bench.accuracy_speed import rate
from bench.report import Report, Target, progress

CLASSES = ("hard", "soft", "block", "complaint", "other", "none")
RECALL = {"sisimai_bsd": 0.97, "misc_bounces": 0.95, "flufl": 0.90}
"""To be found of the recipients in sets that have a figure of their own; `arf` asks for all."""
WITHIN, FALSE_HARD, PERSONS_HIT = 0.95, 0.01, 0.97
MESSAGES_A_SECOND, LINES_A_SECOND = 1_000, 100_000
_REPEATED_LINES = 100_000
ALL = "all"


@dataclass(frozen=True, slots=True)
class Options:
    """corpus: the folder, or None for the usual places; misses: print each of them; only: sets to look at, () for all;
    day_lines: of a made-up day's log, 0 for none; log: where that is kept, or is already."""

    corpus: Path | None = None
    misses: bool = False
    only: tuple[str, ...] = ()
    day_lines: int = 0
    log: Path | None = None


def run(options: Options) -> list[Report]:
    corpus = read_corpus(find_folder(options.corpus))
    if options.only:
        for sets in (corpus.messages, corpus.replies, corpus.lines):
            for name in set(sets) - set(options.only):
                del sets[name]
    reports = []
    parts = ((corpus.messages, messages), (corpus.replies, replies), (corpus.lines, lines))
    for sets, measure in parts:
        if sets:
            reports += _unless_missing(lambda: measure(corpus, options))  # noqa: B023 - called at once
    if options.day_lines and not options.only:
        reports += _unless_missing(lambda: day(options.day_lines, options.log))
    return reports


def _unless_missing(measure: Callable[[], list[Report]]) -> list[Report]:
    try:
        return measure()
    except MissingPartError as error:
        progress(f"accuracy: not there yet: {error}")
        return []


def messages(corpus: Corpus, options: Options) -> list[Report]:
    read = product.message_reader()
    report = Report(
        "accuracy of messages",
        f"Messages of {corpus.folder}",
        ("set", "mails", "recipients", "found", "accepted", "false hard", "must", "hit", "wrong", "others", "mails/s"),
        notes=[
            "accepted: of the found, those whose class is tolerated; must: persons to be suppressed, hit: of them;",
            "wrong: suppressed and should not be; others: classes that such a message may not have, and exceptions.",
        ],
    )
    whole = Score()
    for name, rows in corpus.messages.items():
        progress(f"accuracy: {name}")
        score = Score()
        for row in rows:
            _message(score, row, read)
        speed = rate([row.data for row in rows], read)
        report.rows.append(_message_cells(name, score, speed))
        _message_figures(report, name, score)
        report.figures[f"{name}: messages/s"] = speed
        _merge(whole, score)
        _tell(report, score, options)
    every = [row.data for rows in corpus.messages.values() for row in rows]
    speed = rate(every, read)
    report.rows.append(_message_cells(ALL, whole, speed))
    report.figures[f"{ALL}: messages/s"] = speed
    report.targets += [
        Target("all: false hard, share of recipients", _share(whole.false_hard, whole.recipients), FALSE_HARD),
        Target("all: exceptions", whole.exceptions, 0),
        Target("all: messages/s on one core", speed, MESSAGES_A_SECOND, at_least=True),
    ]
    return [report, confusion("messages", whole)]


def _message(score: Score, row: MessageRow, read: Callable[[bytes], list[product.Got]]) -> None:
    try:
        got = read(row.data)
    except Exception as error:
        score.raised(row.file, error)
        got = []
    score_message(score, row, got)


def _message_cells(name: str, score: Score, speed: float) -> tuple[str, ...]:
    return (
        name,
        f"{score.rows:,}",
        f"{score.recipients:,}",
        _cell(score.found, score.recipients),
        _cell(score.within, score.found),
        f"{score.false_hard:,}",
        f"{score.persons:,}",
        _cell(score.persons_hit, score.persons),
        f"{len(score.wrongly):,}",
        f"{score.not_allowed + score.exceptions:,}",
        f"{speed:,.0f}",
    )


def _message_figures(report: Report, name: str, score: Score) -> None:
    recall = _share(score.found, score.recipients)
    wrong = len(score.wrongly)
    report.figures |= {f"{name}: wrongly suppressed": wrong, f"{name}: exceptions": score.exceptions}
    report.targets.append(Target(f"{name}: wrongly suppressed", wrong, 0))
    if score.recipients:
        within = _share(score.within, score.found)
        report.figures |= {f"{name}: recall": recall, f"{name}: within accept": within}
        report.figures[f"{name}: false hard"] = _share(score.false_hard, score.recipients)
        report.targets += [
            Target(
                f"{name}: recipients found", recall, RECALL.get(name, 1.0 if name == "arf" else 0.95), at_least=True
            ),
            Target(f"{name}: class within accept", within, WITHIN, at_least=True),
        ]
    if score.persons:
        hit = _share(score.persons_hit, score.persons)
        report.figures[f"{name}: suppressed who must be"] = hit
        report.targets.append(Target(f"{name}: suppressed who must be", hit, PERSONS_HIT, at_least=True))


def replies(corpus: Corpus, options: Options) -> list[Report]:
    judge = product.reply_classifier()
    report = Report(
        "accuracy of replies",
        "Server replies",
        ("set", "replies", "within accept", "false hard", "exceptions", "replies/s"),
    )
    whole = Score()
    for name, rows in corpus.replies.items():
        score = Score()
        for row in rows:
            _reply(score, row, judge)
        speed = rate(rows, judge)
        within, false_hard = _share(score.within, score.rows), _share(score.false_hard, score.rows)
        cells = (_cell(score.within, score.rows), _cell(score.false_hard, score.rows), f"{score.exceptions}")
        report.rows.append((name, f"{score.rows:,}", *cells, f"{speed:,.0f}"))
        report.figures |= {
            f"{name}: within accept": within,
            f"{name}: false hard": false_hard,
            f"{name}: replies/s": speed,
        }
        report.targets += [
            Target(f"{name}: within accept", within, WITHIN, at_least=True),
            Target(f"{name}: false hard", false_hard, FALSE_HARD),
            Target(f"{name}: exceptions", score.exceptions, 0),
        ]
        _merge(whole, score)
        _tell(report, score, options)
    return [report, confusion("replies", whole)]


def _reply(score: Score, row: ReplyRow, judge: Callable[[ReplyRow], product.Got]) -> None:
    try:
        score_reply(score, row, judge(row))
    except Exception as error:
        score.rows += 1
        score.raised(row.reply[:200], error)


def lines(corpus: Corpus, options: Options) -> list[Report]:
    read, parse = product.line_reader(), product.line_parser()
    report = Report(
        "accuracy of log lines",
        "Lines of Postfix's log",
        ("set", "lines", "with fields", "all fields right", "not silent", "exceptions", "lines/s"),
        notes=["lines/s: parsed alone, the set's own lines over and over; a day has its own table."],
    )
    for name, rows in corpus.lines.items():
        score = Score()
        for row in rows:
            _log_line(score, row, read)
        texts = [row.line for row in rows]
        speed = rate(texts * max(1, _REPEATED_LINES // len(texts)), parse)
        right = _share(score.within, score.recipients)
        cells = (_cell(score.within, score.recipients), f"{score.not_allowed}", f"{score.exceptions}")
        report.rows.append((name, f"{score.rows:,}", f"{score.recipients:,}", *cells, f"{speed:,.0f}"))
        report.figures |= {f"{name}: all fields right": right, f"{name}: lines/s": speed}
        report.targets += [
            Target(f"{name}: all fields right", right, 1.0, at_least=True),
            Target(f"{name}: lines that should be silent and are not", score.not_allowed, 0),
            Target(f"{name}: exceptions", score.exceptions, 0),
            Target(f"{name}: lines/s on one core", speed, LINES_A_SECOND, at_least=True),
        ]
        _tell(report, score, options)
    return [report, *_unless_missing(lambda: line_classes(corpus, options))]


def line_classes(corpus: Corpus, options: Options) -> list[Report]:
    """The class of what happened to the recipient of each line, in a log of that line alone."""
    judge = product.line_judge()
    whole = Score()
    report = Report("classes of log lines", "Classes of log lines", ("set", "with a recipient", "within accept"))
    for name, rows in corpus.lines.items():
        score = Score()
        for row in rows:
            if row.recipient or row.silent:
                score_line_class(score, row, judge(row.line))
        report.rows.append((name, f"{score.recipients:,}", _cell(score.within, score.recipients)))
        within = _share(score.within, score.recipients)
        report.figures[f"{name}: within accept"] = within
        report.targets += [
            Target(f"{name}: class within accept", within, WITHIN, at_least=True),
            Target(f"{name}: false hard", _share(score.false_hard, score.recipients), FALSE_HARD),
            Target(f"{name}: feedback from lines without an event", score.not_allowed, 0),
        ]
        _merge(whole, score)
        _tell(report, score, options)
    return [report, confusion("log lines", whole)]


def _log_line(score: Score, row: LogRow, read: Callable[[str], dict[str, object] | None]) -> None:
    try:
        fields = read(row.line)
    except Exception as error:
        score.rows += 1
        score.raised(row.line, error)
        return
    score_line(score, row, fields)


def confusion(what: str, score: Score) -> Report:
    """Expected class by the class that came."""
    report = Report(f"classes of {what}", f"Classes of {what}: expected (rows), got (columns)", ("", *CLASSES, MISSING))
    for expected in CLASSES:
        counts = [score.confusion[expected, got] for got in (*CLASSES, MISSING)]
        if any(counts):
            report.rows.append((expected, *(str(count or "") for count in counts)))
            report.figures |= {
                f"{expected} as {got}": n for got, n in zip((*CLASSES, MISSING), counts, strict=True) if n
            }
    return report


def _merge(whole: Score, score: Score) -> None:
    whole.rows += score.rows
    whole.recipients += score.recipients
    whole.found += score.found
    whole.within += score.within
    whole.false_hard += score.false_hard
    whole.persons += score.persons
    whole.persons_hit += score.persons_hit
    whole.wrongly += score.wrongly
    whole.exceptions += score.exceptions
    whole.not_allowed += score.not_allowed
    whole.confusion.update(score.confusion)


def _tell(report: Report, score: Score, options: Options) -> None:
    """Name who was wrongly suppressed and what raised; with `misses` everything."""
    always = ("wrongly suppressed", "exception", "not silent")
    kinds = Counter(miss.kind for miss in score.misses)
    report.details += [str(miss) for miss in score.misses if options.misses or miss.kind in always]
    if kinds and not options.misses:
        hidden = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if kind not in always)
        if hidden:
            report.notes.append(f"{hidden}: `--misses` lists them")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _cell(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"

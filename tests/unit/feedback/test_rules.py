"""Rules: how they are read, what is refused, and which of them decides."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sendgate.feedback.classify import classify, fold
from sendgate.feedback.event import Answer, BounceType, Phase
from sendgate.feedback.pattern import MAX_LENGTH, PatternError, compile_pattern
from sendgate.feedback.rules import BUILTIN, Rules, RulesError, load_rules, read_rules

RULE = """\
- name: parked
  class: inactive
  because: this provider parks mailboxes
  patterns: ['mailbox (is )?parked']
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def problems(file: Path, text: str) -> list[str]:
    """What is wrong with a file, each without the folder's name."""
    with pytest.raises(RulesError) as caught:
        read_rules(write(file, text))
    return [one.removeprefix(f"{file.parent}/") for one in caught.value.problems]


def decides(rules: Rules, reply: str, code: str = "", enhanced: str = "", phase: Phase = Phase.UNKNOWN) -> str:
    return classify(Answer(reply, code, enhanced, phase), rules).because.partition(":")[0]


def found(pattern: str, text: str) -> bool:
    return compile_pattern(pattern).expression.search(fold(text)) is not None


def test_the_rules_that_come_with_sendgate_can_be_used() -> None:
    rules = load_rules()
    assert len(rules) > 30
    assert {rule.type for rule in rules.rules} == set(BounceType)


def test_every_rule_that_comes_with_sendgate_can_decide() -> None:
    """None is without a reply in the table of replies, so none is there in vain."""
    table = Path(__file__).resolve().parents[2] / "data" / "feedback" / "replies.tsv"
    replies = [line.split("\t")[1] for line in table.read_text().splitlines() if not line.startswith("#")]
    decided = {decides(load_rules(), reply).removeprefix("rule ") for reply in replies}
    assert {rule.name for rule in read_rules(BUILTIN)} - decided == set()


def test_a_user_s_rules_come_first(file: Path) -> None:
    text = RULE.replace("mailbox (is )?parked", "user unknown").replace("inactive", "policy")
    rules = load_rules(write(file, text))
    assert decides(rules, "550 user unknown") == "rule parked"
    assert decides(rules, "550 mailbox full") == "rule mailbox-full"


def test_a_user_s_rule_makes_nothing_hard_that_is_deferred(file: Path) -> None:
    rules = load_rules(write(file, RULE))
    assert classify(Answer("550 mailbox parked"), rules).event_class == "hard"
    assert classify(Answer("450 mailbox parked"), rules).event_class == "soft"
    assert classify(Answer("550 mailbox parked", phase=Phase.MAIL), rules).event_class == "block"


def test_the_first_rule_that_fits_decides(file: Path) -> None:
    second = RULE.replace("name: parked", "name: later").replace("mailbox (is )?parked", "parked")
    rules = load_rules(write(file, RULE + second))
    assert decides(rules, "550 mailbox is parked") == "rule parked"
    assert decides(rules, "550 account parked") == "rule later"


@pytest.mark.parametrize(
    ("condition", "fits", "fits_not"),
    [
        ("smtp: '550'", ("550", "5.0.0"), ("554", "5.0.0")),
        ("smtp: ['55', '42']", ("552", ""), ("450", "")),
        ("enhanced: '5.2'", ("550", "5.2.1"), ("550", "5.1.1")),
        ("enhanced: ['5.2.1']", ("550", "5.2.1"), ("550", "5.2.10")),
    ],
)
def test_a_rule_s_codes_must_be_met(
    file: Path, condition: str, fits: tuple[str, str], fits_not: tuple[str, str]
) -> None:
    rules = load_rules(write(file, f"{RULE}  {condition}\n"))
    assert decides(rules, "mailbox parked", *fits) == "rule parked"
    assert decides(rules, "mailbox parked", *fits_not) != "rule parked"


def test_a_rule_s_phase_must_be_met(file: Path) -> None:
    rules = load_rules(write(file, f"{RULE}  phase: [rcpt]\n"))
    assert decides(rules, "550 mailbox parked", phase=Phase.RCPT) == "rule parked"
    assert decides(rules, "550 mailbox parked (in reply to RCPT TO command)") == "rule parked"
    assert decides(rules, "550 mailbox parked", phase=Phase.END_OF_DATA) != "rule parked"
    assert decides(rules, "550 mailbox parked") != "rule parked"


def test_a_rule_s_host_and_exceptions_must_be_met(file: Path) -> None:
    rules = load_rules(write(file, f"{RULE}  host: 'mx\\.example'\n  unless: ['trial']\n"))
    assert decides(rules, "host mx.example[192.0.2.1] said: 550 mailbox parked") == "rule parked"
    assert decides(rules, "host mx.other[192.0.2.1] said: 550 mailbox parked") != "rule parked"
    assert decides(rules, "host mx.example[192.0.2.1] said: 550 mailbox parked: trial") != "rule parked"


def test_a_rule_needs_no_pattern(file: Path) -> None:
    text = "- {name: by-code, class: inactive, because: a code of ours, enhanced: '5.9.9'}\n"
    rules = load_rules(write(file, text))
    assert decides(rules, "hm", "550", "5.9.9") == "rule by-code"


def test_an_empty_file_has_no_rules(file: Path) -> None:
    assert read_rules(write(file, "# nothing yet\n")) == ()


def test_all_mistakes_are_told_at_once_with_their_lines(file: Path) -> None:
    text = RULE + RULE.replace("inactive", "gone").replace("patterns: [", "patterns: ['(', ") + "- {name: X}\n"
    told = problems(file, text)
    assert told[0].startswith("rules.yaml:6: gone: is no class; write one of bad_mailbox, ")
    assert told[1].startswith("rules.yaml:8: (: has a ( without its )")
    assert "rules.yaml:9: a rule must have class, because, too" in told
    assert any(one.startswith("rules.yaml:9: X: is no name; ") for one in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: []", "rules.yaml:1: must be a list of rules"),
        ("- just text", "rules.yaml:1: a rule must have name, class"),
        (RULE + RULE.replace("is )", "was )"), "rules.yaml:5: parked: named twice, first at "),
        (RULE + "  colour: red\n", "rules.yaml:5: colour: unknown; a rule has name, class"),
        (RULE + "  name: twice\n", "rules.yaml:5: name: written twice; take one out"),
        (RULE + "  smtp: 5x\n", "rules.yaml:5: 5x: is no SMTP code; write 550"),
        (RULE + "  enhanced: '9.1'\n", "rules.yaml:5: 9.1: is no enhanced code; write 5.1.1"),
        (RULE + "  phase: dinner\n", "rules.yaml:5: dinner: is no phase; write one of connect"),
        (RULE + "  unless: []\n", "rules.yaml:5: is empty; take it out or fill it"),
        (RULE + "  unless: {a: b}\n", "rules.yaml:5: must be a text"),
        ("- {name: a, class: full, because: x}\n", "rules.yaml:1: a rule must have at least one of patterns"),
        ("- name: 'a\n", "rules.yaml:2: not YAML: "),
        (RULE.replace("'mailbox (is )?parked'", "['a']"), "rules.yaml:4: must be a text"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_remedy(file: Path, text: str, told: str) -> None:
    assert problems(file, text)[0].startswith(told)


def test_a_rule_that_can_never_decide_is_refused(file: Path) -> None:
    (told,) = problems(file, RULE + RULE.replace("name: parked", "name: later"))
    assert told.startswith("rules.yaml:5: later: can never decide, since parked ")


def test_the_same_patterns_may_be_in_a_rule_after_one_with_conditions(file: Path) -> None:
    text = RULE + "  smtp: '550'\n" + RULE.replace("name: parked", "name: later")
    assert len(read_rules(write(file, text))) == 2


def test_a_missing_unreadable_or_huge_file_is_told(file: Path) -> None:
    with pytest.raises(RulesError, match="no such file"):
        read_rules(file)
    with pytest.raises(RulesError, match="cannot be read"):
        read_rules(file.parent)
    with pytest.raises(RulesError, match="larger than"):
        read_rules(write(file, "#" * (1 << 20) + "#"))
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(RulesError, match="cannot be read"):
        read_rules(file)


def test_yaml_that_is_nested_without_end_is_told(file: Path) -> None:
    with pytest.raises(RulesError):
        read_rules(write(file, "[" * 100_000))


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("", "is empty"),
        ("a*", "matches every text"),
        ("(a+)+b", "repeats what itself repeats"),
        ("(a|ab)*c", "repeats what itself repeats or has similar choices"),
        ("(a?){20}b", "repeats what itself repeats"),
        ("a.*b.*c.*d", "could take long"),
        ("(a|a)" * 40, "could take long"),
        ("a**", "repeats a repetition"),
        ("a{3,1}", "is no range"),
        ("(a", "has a ( without its )"),
        ("a)", "has a ) without its ("),
        ("[a", "has a [ without its ]"),
        ("*a", "has nothing to repeat"),
        (r"(a)\1", "which rules do not know"),
        (r"a\Z", "which rules do not know"),
        ("(?P<n>a)", "has a group that rules do not know"),
        ("(?i)a", "has a group that rules do not know"),
        ("(?<=a+)b", "is no regular expression"),
        ("[b-a]", "is no regular expression"),
        ("(" * 50 + "a" + ")" * 50, "has too many parentheses"),
        ("a" * (MAX_LENGTH + 1), "is longer than"),
    ],
)
def test_a_pattern_that_is_not_safe_is_refused_with_a_remedy(pattern: str, remedy: str) -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern(pattern)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("user unknown", "550 UserUnknown"),
        ("user unknown", "550 user\r\n  unknown"),
        ("Boîte pleine", "BOITE PLEINE"),
        ("boite pleine", "Boîte pleine"),
        ("получатель не найден", "Получатель не найден"),
        ("doesn't exist", "doesn’t exist"),
        ("skrzynka pelna", "Skrzynka pełna"),
        (r"quota.{0,20}\b(full|over)\b", "quota is now over"),
        ("[a-c]{2}x?y+", "abyyy"),
        (r"a\.b", "a.b"),
        ("(?<!not )listed", "is listed"),
        ("満杯", "満杯です"),
    ],
)
def test_a_pattern_finds(pattern: str, text: str) -> None:
    assert found(pattern, text)


def test_a_pattern_is_found_by_the_words_it_needs_in_a_run_of_letters(file: Path) -> None:
    rules = load_rules(write(file, RULE))
    assert decides(rules, "550 yourmailboxisparkedhere") == "rule parked"


@pytest.mark.parametrize("pattern", ["user.{0,100}unknown.{0,100}x", "(ab|cd){1,20}.*x", "a+b+x"])
def test_a_pattern_that_is_let_through_takes_no_long_time(file: Path, pattern: str) -> None:
    rules = load_rules(write(file, RULE.replace("mailbox (is )?parked", pattern)))
    for seed in ("user unknown ", "abcd", "a", "ab"):
        started = time.process_time()
        classify(Answer(seed * 2_000), rules)
        assert time.process_time() - started < 2.0


def test_the_example_in_the_docs_can_be_used(file: Path) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "feedback-rules.md").read_text(encoding="utf-8")
    (rule,) = read_rules(write(file, page.partition("```yml\n")[2].partition("```")[0]))
    assert decides(Rules([rule]), "550 5.2.0 Mailbox parked") == f"rule {rule.name}"


def test_the_docs_name_every_type_and_phase() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "feedback-rules.md").read_text(encoding="utf-8")
    assert all(f"| `{one}` |" in page for one in BounceType)
    assert all(f"`{phase.name.lower().replace('_', '-')}`" in page for phase in Phase)

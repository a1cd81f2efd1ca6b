"""docs/commands.md against the commands, their options and their columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from docs.pages import blocks, code, docs, rows, section
from sendgate.cli.main import program, run
from sendgate.cli.problems import Exit
from sendgate.entry import Reason
from sendgate.listfile.columns import COLUMNS, column_of
from sendgate.listfile.formats import Format, format_by_name

PAGE = docs("commands.md")
_ROOT = get_command(program())
_COMMANDS = dict(getattr(_ROOT, "commands"))  # noqa: B009 - typer shows no type for it
_EVERYWHERE = {"--config", "--help", "--version"}


def options_of(command: object) -> set[str]:
    parameters = getattr(command, "params")  # noqa: B009
    own = {name for one in parameters for name in one.opts if name.startswith("--")}
    return own.union(*map(options_of, dict(getattr(command, "commands", {})).values())) if command is not _ROOT else own


def documented(text: str) -> set[str]:
    """The options in the first column of tables."""
    names = (code(row[0])[0].split()[0] for row in rows(text) if code(row[0]))
    return {name for name in names if name.startswith("--")}


def test_there_are_commands_to_look_for() -> None:
    assert {"serve", "add", "import", "explain"} <= _COMMANDS.keys()
    assert {"--reason", "--replace", "--dry-run", "--config"} <= options_of(_COMMANDS["import"])


@pytest.mark.parametrize("name", sorted(_COMMANDS))
def test_every_option_of_a_command_is_documented_and_every_documented_one_exists(name: str) -> None:
    assert documented(section(PAGE, name)) | _EVERYWHERE == options_of(_COMMANDS[name]) | _EVERYWHERE


def test_no_command_is_documented_that_does_not_exist() -> None:
    synopses = set(re.findall(r"^    sendgate ([a-z-]+)", PAGE, re.MULTILINE))
    assert synopses == _COMMANDS.keys()


def test_options_of_all_commands_are_documented() -> None:
    assert documented(section(PAGE, "Every command")) == _EVERYWHERE
    assert options_of(_ROOT) <= _EVERYWHERE


def test_every_exit_status_is_documented() -> None:
    assert {code(row[0])[0] for row in rows(section(PAGE, "Exit status"))[1:]} == {str(int(one)) for one in Exit}


def test_every_reason_is_documented() -> None:
    (meaning,) = (row[1] for row in rows(section(PAGE, "add")) if "--reason" in row[0])
    assert code(meaning) == list(Reason)


def test_every_column_is_documented_with_names_that_are_understood() -> None:
    table = [row for row in rows(section(PAGE, "List files")) if len(row) == 4 and code(row[0])]
    assert [code(row[0])[0] for row in table] == sorted(COLUMNS, key=[code(row[0])[0] for row in table].index)
    for row in table:
        assert {column_of(name) for name in [*code(row[0]), *code(row[1])]} == {code(row[0])[0]}


def test_every_format_is_documented_with_its_extensions() -> None:
    table = [row for row in rows(section(PAGE, "List files")) if len(row) == 3 and code(row[0])]
    assert {code(row[0])[0] for row in table} == set(Format)
    for row in table:
        assert {format_by_name("list" + extension) for extension in code(row[1])} == {Format(code(row[0])[0])}


def test_the_example_of_explain_is_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDGATE_STORE__URL", f"lmdb://{tmp_path}")
    run(["add", "@example.com", "--reason", "hard_bounce"])
    capsys.readouterr()
    assert run(["explain", "anna@example.com", "--campaign", "spring-sale"]) == 1
    (example,) = blocks(section(PAGE, "explain"), "text")
    created = re.compile(r"created \S+,")
    assert created.sub("", capsys.readouterr().out) == created.sub("", example)

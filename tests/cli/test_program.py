"""The program as a whole: settings, exit statuses, reading beside a writer. In processes of their own."""

from __future__ import annotations

import pytest

from cli.parts import Program
from sendgate import __version__
from unit import child

COMMANDS = ("add", "remove", "import", "export", "explain", "stats", "lists", "check-config", "serve")
READING = (["export"], ["explain", "user@example.com"], ["stats"], ["lists"], ["remove", "user@example.com"])


def test_the_version_is_told(sendgate: Program) -> None:
    answer = sendgate.separately("--version")
    assert (answer.status, answer.out) == (0, f"sendgate {__version__}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, sendgate: Program) -> None:
    answer = sendgate(command, "--help")
    assert answer.status == 0
    assert answer.out.startswith(f"Usage: sendgate {command}")
    assert "--config" in answer.out
    assert command in sendgate("--help").out


@pytest.mark.parametrize("arguments", [[], ["bogus"], ["stats", "--bogus"], ["explain"], ["--bogus"]])
def test_a_mistake_of_usage_is_one_line_and_status_2(arguments: list[str], sendgate: Program) -> None:
    answer = sendgate.separately(*arguments)
    assert (answer.status, answer.out, len(answer.complaints)) == (2, "", 1)
    assert answer.errors.startswith("sendgate: ")


@pytest.mark.parametrize("arguments", READING)
def test_a_store_that_is_not_there_is_status_3_and_is_not_made(arguments: list[str], sendgate: Program) -> None:
    answer = sendgate(*arguments)
    assert (answer.status, len(answer.complaints)) == (3, 1)
    assert "`sendgate import`" in answer.errors
    assert not sendgate.store.exists()


@pytest.mark.parametrize("arguments", [*READING, ["add", "user@example.com", "--reason", "manual"]])
def test_a_damaged_store_is_status_3(arguments: list[str], sendgate: Program) -> None:
    sendgate("add", "user@example.com", "--reason", "manual")
    (sendgate.store / "data.mdb").write_bytes(b"no store" * 1000)
    answer = sendgate.separately(*arguments)
    assert (answer.status, len(answer.complaints)) == (3, 1)
    assert "Traceback" not in answer.errors


def test_settings_are_named_before_or_after_the_command_or_by_the_environment(
    sendgate: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    sendgate("add", "user@example.com", "--reason", "manual")
    assert sendgate("stats").status == 0
    monkeypatch.setenv("SENDGATE_CONFIG", "/nowhere/sendgate.yaml")
    assert sendgate("stats").status == 2
    assert sendgate("stats", "--config", sendgate.config).status == 0
    assert sendgate("--config", sendgate.config, "stats").status == 0
    assert sendgate("--config", "/nowhere/else.yaml", "stats", "--config", sendgate.config).status == 0
    answer = sendgate("--config", "/nowhere/else.yaml", "stats")
    assert (answer.status, len(answer.complaints)) == (2, 1)


def test_serve_tells_a_store_that_is_not_there(sendgate: Program) -> None:
    answer = sendgate.separately("serve")
    assert (answer.status, len(answer.complaints)) == (3, 1)


def test_reading_goes_on_while_another_process_writes(sendgate: Program) -> None:
    sendgate("add", "user@example.com", "--reason", "manual")
    with sendgate.start("import", "-", "--format", "txt", "--reason", "manual") as writer:
        assert writer.stdin is not None
        writer.stdin.write(b"".join(b"user%d@example.org\n" % number for number in range(100_000)))
        writer.stdin.flush()
        assert sendgate("explain", "user@example.com").status == 1
        assert sendgate("stats", "--json").json["entries"] == 1
        assert sendgate("add", "other@example.com", "--reason", "manual").status == 0
        writer.stdin.close()
        assert writer.wait(timeout=60) == 0
    assert sendgate("stats", "--json").json["entries"] == 100_002


def test_other_commands_do_not_load_the_gate() -> None:
    loaded = child.run("import sys, sendgate.cli.main; print(*sys.modules)").split()
    assert "typer" in loaded
    assert {"Milter", "milter", "starlette", "uvicorn"} & set(loaded) == set()

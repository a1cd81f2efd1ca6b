"""`sendgate ingest`: take bounces and complaints in that are files, or come by Postfix's pipe(8); or an old log.

In: messages (.eml, mbox, maildir, - for stdin), or logs with --log. Out: changed lists, what became of them.
Refused: files that cannot be read (exit 2, after the others were taken in), a store that cannot be reached (exit 3).

With --pipe all that fails ends with 75 (EX_TEMPFAIL of sysexits.h), so that Postfix keeps the message and tries again.
"""

from __future__ import annotations

from typing import Annotated

import typer

from sendgate.cli.options import ConfigOption, JsonOption, settings_of
from sendgate.cli.problems import EXPECTED, Exit, tell

TRY_AGAIN = 75


def ingest(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help=".eml, mbox, maildir, or -; with --log logs.")],
    recipients: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="ADDRESS", help="Whom the messages came to.")
    ] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Believe all of them: you know where they are from.")
    ] = False,
    pipe: Annotated[bool, typer.Option("--pipe", help="For pipe(8): exit 75 on any failure, print nothing.")] = False,
    log: Annotated[bool, typer.Option("--log", help="The files are logs of Postfix.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be believed; change nothing.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> int:
    """Take bounces and complaints in: what is believed becomes entries, the rest is counted."""
    from sendgate.cli.ingest_log import ingest_logs  # here, so that no other command pays for the parsers
    from sendgate.cli.ingest_messages import Wishes, ingest_messages

    try:
        settings = settings_of(context, config)
        if log:
            return ingest_logs(settings, files, dry_run=dry_run, as_json=as_json)
        wishes = Wishes(tuple(recipients or ()), trusted, dry_run, as_json, silent=pipe)
        unread = ingest_messages(settings, files, wishes)
        return TRY_AGAIN if unread and pipe else Exit.USAGE if unread else Exit.YES
    except EXPECTED as error:
        if not pipe:
            raise
        tell(error)
        return TRY_AGAIN

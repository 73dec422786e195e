"""The command `rivermouth`.

Exit codes: 0 all is well · 1 it failed · 2 a flag or a setting does not fit · 3 nothing can be reached or served ·
130 interrupted · 141 nobody reads the answer.
"""

import os
import sys
from typing import Any

import click

import rivermouth
from rivermouth.cli import chat, doctor, ingest, migrate, serve, token, tools
from rivermouth.cli.failures import exit_code

EXIT_CODES = """\b
Exit codes:
  0    all is well
  1    it failed
  2    a flag or a setting does not fit
  3    the server, the model or the database cannot be used, or the address cannot be listened on
  130  interrupted
  141  nobody reads the answer or the list any more, as behind `| head`"""


class Group(click.Group):
    """Commands that end without a word where nobody reads what they say, as what SIGPIPE ends does."""

    def invoke(self, ctx: click.Context) -> Any:
        """What the command returns. A broken pipe is of our own output: commands tell of any other themselves."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still to be written is written at the end of the process, where Python would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141


@click.group(cls=Group, epilog=EXIT_CODES)
@click.version_option(rivermouth.__version__, prog_name="rivermouth")
def cli() -> None:
    """One model stream, every chat client.

    \b
    Examples:
      rivermouth serve
      rivermouth chat "What is a river mouth?"
      rivermouth token create --system ares --kind key --user ann
      rivermouth ingest handbook.pdf --user ann
      rivermouth doctor
    """


COMMANDS: tuple[click.Command, ...] = (
    serve.command,
    chat.command,
    token.group,
    ingest.command,
    migrate.command,
    tools.group,
    doctor.command,
)
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of that command line; whatever goes wrong is one line on stderr."""
    return exit_code(lambda: cli.main(arguments, prog_name="rivermouth", standalone_mode=False))

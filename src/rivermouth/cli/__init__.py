"""The command `rivermouth`.

Exit codes: 0 all is well · 1 it failed · 2 a flag or a setting does not fit · 3 nothing can be reached or served ·
130 interrupted.
"""

import sys

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
  130  interrupted"""


@click.group(epilog=EXIT_CODES)
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

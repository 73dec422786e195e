"""The command `rivermouth`.

Exit codes: 0 all is well · 1 it failed · 2 a flag or a setting does not fit · 3 nothing can be reached or served ·
130 interrupted.
"""

import sys

import click
from sqlalchemy.exc import SQLAlchemyError

import rivermouth
from rivermouth.cli import chat, doctor, migrate, serve, token
from rivermouth.errors import BadRequest, NoModel, ProviderFault, RivermouthError, Unavailable
from rivermouth.settings import SettingsError

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
      rivermouth doctor
    """


for command in (serve.command, chat.command, token.group, migrate.command, doctor.command):
    cli.add_command(command)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of that command line; whatever goes wrong is one line on stderr."""
    try:
        outcome = cli.main(arguments, prog_name="rivermouth", standalone_mode=False)
    except (SettingsError, BadRequest) as error:
        return _failed(error, 2)
    except (ProviderFault, NoModel, Unavailable) as error:
        return _failed(error, 3)
    except (RivermouthError, OSError, SQLAlchemyError) as error:
        return _failed(error, 1)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    return outcome if isinstance(outcome, int) else 0


def _failed(error: Exception, code: int) -> int:
    click.echo(f"rivermouth: {str(error).splitlines()[0]}", err=True)
    return code

"""The command `termijn` with everything under it."""

from __future__ import annotations

import sys

import click
from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import TermijnError
from services.cli import (
    agent,
    benching,
    certificate,
    deploying,
    doctor,
    evidence,
    keys,
    looking,
    monitoring,
    operating,
    policies,
    publishing,
    registering,
    rights,
    roles,
    topics,
    up,
    vault,
)
from services.cli.output import say
from services.ledger.database import in_words


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="termijn")
def termijn() -> None:
    """Keeps the terms that a privacy statement promises: from business event to proven erasure."""


policies.policy.add_command(operating.activate)
for command in (
    publishing.publish,
    looking.explain,
    looking.simulate,
    policies.policy,
    roles.tagger,
    roles.recorder,
    roles.deleter,
    roles.acknowledgements,
    roles.rights,
    roles.watch,
    agent.agent,
    roles.sample_systems,
    up.up,
    operating.status,
    operating.settings_,
    operating.ledger,
    rights.requests,
    rights.holds,
    operating.gaps,
    operating.commands,
    operating.dead_letters_,
    operating.pause,
    operating.drain,
    operating.resume,
    operating.sweep,
    operating.forecast,
    operating.release,
    keys.keys,
    topics.topics,
    vault.vault,
    evidence.evidence,
    certificate.certificate,
    doctor.doctor,
    registering.schemas,
    deploying.deploy,
    monitoring.monitoring,
    benching.bench,
):
    termijn.add_command(command)


def main() -> None:
    """Run `termijn`; a failure is one line on stderr and exit code 1."""
    try:
        sys.exit(termijn(standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as asked:
        asked.show()
        sys.exit(2)
    except click.ClickException as cause:
        why = cause.format_message()
    except click.Abort:
        why = "stopped"
    except TermijnError as cause:
        why = str(cause)
    except SQLAlchemyError as cause:
        why = f"ledger: {in_words(cause)}"
    except BrokenPipeError:
        sys.stderr.close()  # whoever read has enough; nothing is wrong
        sys.exit(1)
    except OSError as cause:
        why = str(cause)
    say(f"termijn: {why}", err=True)
    sys.exit(1)

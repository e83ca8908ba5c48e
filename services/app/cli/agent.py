"""`termijn agent`: run the agent beside a downstream system, and inspect its inbox."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Executable

from schemas import topics
from schemas.command_fields import join_commands, split_commands
from schemas.errors import DecodingFailed, EncodingFailed
from services.agent import config as configuration
from services.agent.adapters.base import CommandTask
from services.agent.adapters.factory import sql_adapter
from services.agent.adapters.payload import command_payload
from services.agent.adapters.sql.adapter import SqlAdapter
from services.agent.command import Command, parse_command
from services.agent.config import LoadedConfig
from services.app import settings_loader
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import (
    format_instant,
    json_option,
    operator_option,
    parse_instant,
    reason_option,
    show,
)
from services.app.cli.output import say, say_json
from services.app.cli.run import run_until_signal
from services.app.wiring import agent as bootstrap_agent
from services.app.wiring.resources import utc_now
from services.storage import gaps as storage_gaps
from services.storage.operator_log import log_operator_action

_CONFIG = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The agent's file.",
)


@click.group(invoke_without_command=True)
@click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The agent's file; without a subcommand the agent runs.",
)
@click.pass_context
def agent(context: click.Context, config: Path | None) -> None:
    """Carry out the commands of one system and acknowledge them; one agent for each inbox.

    The agent verifies each command, carries it out through a hook, a webhook or SQL, verifies that erased
    data is gone, and signs its acknowledgements. It needs neither Termijn's ledger nor its policy.
    """
    if context.invoked_subcommand is not None:
        return
    if config is None:
        raise click.UsageError("--config FILE is required")
    loaded = _load(config)
    log_format = settings_loader.load().operating.log_format
    run_until_signal(
        lambda stop: bootstrap_agent.run_agent(loaded, stop, log_format=log_format, now=utc_now)
    )


@agent.command()
@_CONFIG
@click.argument("file", type=click.File("rb"), metavar="COMMAND.json")
@json_option
def plan(config: Path, file: Any, as_json: bool) -> None:
    """Show what the agent would do for a command, and do nothing.

    The file contains the fields of the `command` schema as JSON. For SQL the statements are printed, for
    a hook or a webhook its input. A command that could not be carried out is an error.
    """
    loaded = _load(config)
    command = _parse_command_file(file.read(), file.name, loaded)
    sql = loaded.configuration.adapter.sql
    if sql is None:
        task = CommandTask(
            command=command, run=1, checkpoint=None, save_checkpoint=lambda _: None, now=utc_now()
        )
        say(command_payload(task).decode())
        return
    with bootstrap_agent.agent(loaded) as opened:
        adapter = sql_adapter(loaded, sql, opened.stack)
        for step in adapter.steps(command):
            _print_statement(step, adapter, as_json=as_json)
        if problems := adapter.validate(command):
            raise CheckFailed("; ".join(problems))


@agent.command()
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(config: Path, as_json: bool) -> None:
    """Show the open commands and dead letters of the inbox, and gaps in the log."""
    with bootstrap_agent.agent(_load(config)) as opened:
        inbox = opened.inbox(opened.database(), opened.codec(), opened.inbox_cipher())
        counted = inbox.count_by_state()
        row = {
            "system": inbox.system,
            **{
                state: counted.get(state, 0)
                for state in ("waiting", "pending", "failed", "settled")
            },
            "oldest": format_instant(inbox.oldest_open()),
            "parked": dict(inbox.parked()),
            "gaps": [f"{gap.log.topic} {gap.log.partition}" for gap in inbox.gaps()],
        }
    show([row], as_json=as_json, title="Inbox", columns=list(row))


@agent.group()
def gaps() -> None:
    """Messages that Kafka deleted before the agent read them: it waits until an operator accepts."""


@gaps.command("accept")
@_CONFIG
@click.argument("partition", type=int)
@operator_option
@reason_option
def accept_gap(config: Path, partition: int, operator: str, reason: str) -> None:
    """Let the agent continue after a gap: commands in it will never be read.

    The deleter repeats commands that are not acknowledged. Start the agent again afterwards.
    """
    with bootstrap_agent.agent(_load(config)) as opened:
        inbox = opened.inbox(opened.database(), opened.codec(), opened.inbox_cipher())
        place = ("agent", topics.command_topic(inbox.system).name, partition)
        with inbox.ledger.transaction() as connection:
            offset = storage_gaps.accept_gap(
                connection,
                place,
                operator=operator,
                reason=reason,
                now=utc_now(),
                to_audit_log=False,
            )
    say(f"continues at offset {offset}")


@agent.command()
@_CONFIG
@click.option(
    "--since",
    type=parse_instant,
    metavar="INSTANT",
    required=True,
    help="The instant of the backup.",
)
@operator_option
@reason_option
def replay(config: Path, since: datetime, operator: str, reason: str) -> None:
    """After a restore of the system: carry out commands since its backup again.

    The agent carries out each of them again as soon as the deleter repeats it, instead of repeating its
    acknowledgement.
    """
    with bootstrap_agent.agent(_load(config)) as opened:
        inbox = opened.inbox(opened.database(), opened.codec(), opened.inbox_cipher())
        with inbox.ledger.transaction() as connection:
            reopened = inbox.reopen_since(connection, since)
            now, target = utc_now(), f"{inbox.system} since {format_instant(since)}"
            log_operator_action(
                connection,
                "agent replay",
                target,
                operator=operator,
                reason=reason,
                now=now,
                to_audit_log=False,
            )
    say(f"{reopened} commands will be carried out again when they are repeated")


def _load(config: Path) -> LoadedConfig:
    return configuration.load(config, settings_loader.environment())


def _parse_command_file(text: bytes, name: str, loaded: LoadedConfig) -> Command:
    """Parse the command in a JSON file as if it came from Kafka."""
    topic = topics.command_topic(loaded.configuration.system)
    with bootstrap_agent.agent(loaded) as opened:
        codec = opened.codec()
        try:
            fields = json.loads(text)
            if not isinstance(fields, dict):
                raise ValueError("must be an object with the fields of a command")
            message = codec.encode(topic, join_commands([fields]))
            [command] = split_commands(codec.decode(topic, message))
            return parse_command(command)
        except (ValueError, RecursionError, EncodingFailed, DecodingFailed) as cause:
            raise CheckFailed(f"{name}: {cause}") from cause


def _print_statement(step: Executable, adapter: SqlAdapter, *, as_json: bool) -> None:
    compiled: Any = step.compile(  # type: ignore[attr-defined]  # each of ours can be compiled
        adapter.engine, compile_kwargs={"render_postcompile": True}
    )
    values = dict(compiled.params)
    if as_json:
        line = {"statement": str(compiled), "parameters": values}
        say_json(line)
        return
    say(f"{compiled};")
    say(f"-- {json.dumps(values, ensure_ascii=False, default=str)}")

"""Build the adapter that the agent's file names. Only `services/app/wiring/agent.py` calls it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from shutil import which

import httpx2
from sqlalchemy import create_engine
from sqlalchemy.event import listen
from sqlalchemy.exc import DBAPIError

from services.agent.adapters.base import Adapter
from services.agent.adapters.hook import HookAdapter
from services.agent.adapters.sql.adapter import SqlAdapter
from services.agent.adapters.sql.binding import bind_tables
from services.agent.adapters.vault import VaultAdapter
from services.agent.adapters.webhook import (
    CallbackConfig,
    WebhookAdapter,
    ed25519_headers,
    hmac_headers,
)
from services.agent.config import LoadedConfig
from services.agent.config_model import SqlConfig
from services.crypto.data_keys import open_vault
from services.crypto.shredding import Shredder
from services.crypto.signing import SignerProtocol

_INHERITED_VARIABLES = ("PATH", "HOME", "LANG")


def sql_adapter(loaded: LoadedConfig, sql: SqlConfig, stack: ExitStack) -> SqlAdapter:
    """Build the SQL adapter, bound to the existing tables; its connections close with the stack.

    Raises:
        InvalidConfiguration: the database cannot be reached, or differs from what is declared.
    """
    section = ("adapter", "sql")
    engine = create_engine(
        loaded.database_url(sql.url, *section, "url"),
        pool_size=loaded.configuration.limits.at_once,
        pool_pre_ping=True,
        hide_parameters=True,  # parameters are personal data
    )
    if (
        engine.dialect.name == "sqlite"
    ):  # SQLite enforces foreign keys only if each connection says so
        listen(
            engine,
            "connect",
            lambda connection, _: connection.execute("PRAGMA foreign_keys=ON").close(),
        )
    stack.callback(engine.dispose)
    try:
        bounds, problems = bind_tables(engine, sql.tables)
    except DBAPIError as cause:
        problem = f"database: cannot be read ({type(cause.orig).__name__})"
        raise loaded.invalid([((*section, "url"), problem)]) from cause
    if problems:
        raise loaded.invalid(((*section, "tables", *path), problem) for path, problem in problems)
    key = sql.pseudonym_key
    return SqlAdapter(
        engine=engine,
        bounds=tuple(bounds),
        without_rows=frozenset(sql.without_rows),
        pseudonym_key=loaded.text(key, *section, "pseudonym_key").encode() if key else b"",
    )


def hook_adapter(loaded: LoadedConfig) -> HookAdapter:
    """Build the hook, with only the declared part of the agent's environment.

    Raises:
        InvalidConfiguration: its program does not exist or cannot be executed.
    """
    hook = loaded.configuration.adapter.hook
    assert hook is not None
    program = hook.command[0]
    # As `subprocess` finds it: a bare name on PATH, any other from the directory of the hook.
    executable = str(loaded.path(program)) if "/" in program else program
    if which(executable, path=loaded.environment.get("PATH")) is None:
        path = ("adapter", "hook", "command", 0)
        raise loaded.invalid([(path, "must be an existing program that may be executed")])
    return HookAdapter(
        command=hook.command,
        directory=loaded.base,
        timeout_seconds=hook.timeout_seconds,
        environment={
            name: loaded.environment[name]
            for name in (*_INHERITED_VARIABLES, *hook.environment)
            if name in loaded.environment
        },
        batch=hook.batch,
    )


def webhook_adapter(
    loaded: LoadedConfig, token: Callable[[str], str], signer: SignerProtocol
) -> WebhookAdapter:
    """Build the webhook.

    Raises:
        InvalidConfiguration: a secret or a certificate is missing.
    """
    webhook = loaded.configuration.adapter.webhook
    assert webhook is not None
    path = ("adapter", "webhook")
    ca = loaded.path(webhook.ca_file) if webhook.ca_file else None
    try:
        verify = ssl.create_default_context(cafile=ca)  # read once, not at each call
    except OSError as cause:
        problem = f"cannot be used: {type(cause).__name__}"
        raise loaded.invalid([((*path, "ca_file"), problem)]) from cause
    timeout = webhook.timeout_seconds

    def client() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(timeout=timeout, verify=verify, trust_env=False)

    secret, callback = webhook.hmac, webhook.callback
    sign = (
        hmac_headers(loaded.text(secret, *path, "hmac").encode())
        if secret
        else ed25519_headers(signer, webhook.url)
    )
    callback_config = None
    if callback is not None:
        after = timedelta(hours=callback.ask_again_hours)
        callback_config = CallbackConfig(url=callback.url, token=token, callback_timeout=after)
    return WebhookAdapter(
        client=client,
        url=webhook.url,
        sign=sign,
        timeout_seconds=timeout,
        callback_config=callback_config,
        batch=webhook.batch,
    )


def vault_adapter(loaded: LoadedConfig, stack: ExitStack) -> VaultAdapter:
    """Build the vault adapter of this system; its connections close with the stack.

    Raises:
        InvalidConfiguration: the database cannot be reached.
    """
    vault = loaded.configuration.adapter.vault
    assert vault is not None
    path = ("adapter", "vault", "url")
    url = loaded.database_url(vault.url, *path)
    shredder = Shredder(open_vault(url.render_as_string(hide_password=False)))
    stack.callback(shredder.database.close)
    try:
        shredder.create_tables()
    except DBAPIError as cause:
        problem = f"database: cannot be used ({type(cause.orig).__name__})"
        raise loaded.invalid([(path, problem)]) from cause
    return VaultAdapter(
        shredder=shredder,
        system=loaded.configuration.system,
        encrypted_since=vault.encrypted_since,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterContext:
    """The values from which an adapter is built."""

    loaded: LoadedConfig
    callback_token: Callable[[str], str]
    """Returns the token that a callback about a command must carry, by the command's id."""
    signer: SignerProtocol
    """Signs requests to a webhook as the system."""
    stack: ExitStack
    """Closes the adapter's connections."""


def _build_sql(context: AdapterContext) -> Adapter:
    sql = context.loaded.configuration.adapter.sql
    assert sql is not None
    return sql_adapter(context.loaded, sql, context.stack)


ADAPTERS: Mapping[str, Callable[[AdapterContext], Adapter]] = {
    "hook": lambda context: hook_adapter(context.loaded),
    "webhook": lambda context: webhook_adapter(
        context.loaded, context.callback_token, context.signer
    ),
    "sql": _build_sql,
    "vault": lambda context: vault_adapter(context.loaded, context.stack),
}
"""What builds each adapter, by the name of its section in the agent's file (`AdapterConfig`)."""


def build_adapter(context: AdapterContext) -> Adapter:
    """Build the adapter that the agent's file names.

    Raises:
        InvalidConfiguration: it cannot work as it is declared.
    """
    sections = context.loaded.configuration.adapter  # checked to name exactly one
    [name] = [name for name in ADAPTERS if getattr(sections, name) is not None]
    return ADAPTERS[name](context)

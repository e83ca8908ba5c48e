"""Settings: the environment wins over the file, and an invalid setting is named and starts nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.app import settings_loader
from services.app.kafka_settings import kafka_security
from services.app.setting_field import InvalidSetting
from services.app.settings_loader import list_settings, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the settings file."""
    return tmp_path / "termijn.toml"


def write_settings(file: Path, text: str, **environment: str) -> dict[str, str]:
    """An environment that names the file with this text."""
    file.write_text(text, "utf-8")
    return {"TERMIJN_SETTINGS": str(file), **environment}


def test_without_settings_everything_is_on_this_machine() -> None:
    """The embedded defaults."""
    settings = load({})
    assert settings.ledger_url == "sqlite:///.termijn/ledger.sqlite"
    assert settings.key_file == Path(".termijn/dead-letters.key")
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.storage.policy is None
    assert (settings.keys, settings.signing.mode) == (Path(".termijn/keys"), "required")
    assert settings.deleting.commands_per_hour == 100_000


def test_signing_is_required_or_off_and_nothing_else() -> None:
    """A typing error must not turn it off."""
    assert load({"TERMIJN_SIGNING": "off"}).signing.mode == "off"
    with pytest.raises(InvalidSetting, match="must be one of required, off"):
        load({"TERMIJN_SIGNING": "no"})


def test_the_environment_wins_over_the_file(file: Path) -> None:
    """It wins key by key: keys that only the file has stay."""
    text = '[kafka]\nbatch = 10\ngroup = "night"\n'
    settings = load(write_settings(file, text, TERMIJN_BATCH="20"))
    assert settings.kafka.batch == 20
    assert settings.kafka.group == "night"


def test_an_empty_variable_counts_as_not_set(file: Path) -> None:
    """Deployments write a setting without a value this way."""
    assert load(write_settings(file, "[kafka]\nbatch = 10\n", TERMIJN_BATCH="")).kafka.batch == 10


def test_every_kind_of_value_is_read_from_a_file(file: Path) -> None:
    """Paths, lists of paths, whole numbers, seconds and words."""
    text = """
    [storage]
    data = "/var/lib/termijn"
    schemas = ["/etc/a", "/etc/b"]
    [deleting]
    idle_seconds = 1
    retry_seconds = 1.5
    [operating]
    log_format = "json"
    metrics_port = 9000
    """
    settings = load(write_settings(file, text))
    assert settings.ledger_url == "sqlite:////var/lib/termijn/ledger.sqlite"
    assert settings.storage.schemas == (Path("/etc/a"), Path("/etc/b"))
    assert (settings.deleting.idle_seconds, settings.deleting.retry_seconds) == (1.0, 1.5)
    assert (settings.operating.log_format, settings.operating.metrics_port) == ("json", 9000)


def test_a_list_in_the_environment_is_separated_by_colons() -> None:
    """Lists of paths are written this way."""
    assert load({"TERMIJN_SCHEMAS": "/etc/a:/etc/b"}).storage.schemas == (
        Path("/etc/a"),
        Path("/etc/b"),
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TERMIJN_BATCH", "many"),
        ("TERMIJN_BATCH", "-1"),
        ("TERMIJN_BATCH", "1.5"),
        ("TERMIJN_BATCH_SECONDS", "-0.1"),
        ("TERMIJN_BATCH_SECONDS", "nan"),
        ("TERMIJN_BATCH_SECONDS", "inf"),
        ("TERMIJN_LOG", "xml"),
    ],
)
def test_an_invalid_variable_is_named(variable: str, value: str) -> None:
    """The error has its value, on one line."""
    with pytest.raises(InvalidSetting) as refused:
        load({variable: value})
    assert str(refused.value).startswith(f"environment: {variable}: must be ")
    assert str(refused.value).endswith(f", got {value!r}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e300", "3155760001", "a week"])
def test_the_age_of_old_events_is_a_duration(text: str) -> None:
    """It is a hundred years at most: beyond it all events would count as live."""
    with pytest.raises(InvalidSetting, match="TERMIJN_HISTORY_SECONDS"):
        load({"TERMIJN_HISTORY_SECONDS": text})


@pytest.mark.parametrize(
    "variable", ["TERMIJN_BATCH", "TERMIJN_CLAIM_RECORDS", "TERMIJN_DISPATCH_BATCH"]
)
def test_a_batch_size_of_zero_is_refused(variable: str) -> None:
    """A role that reads nothing at a time would run without end, erase nothing and report nothing."""
    with pytest.raises(InvalidSetting):
        load({variable: "0"})


def test_an_invalid_port_is_refused() -> None:
    """Before the role starts, not with a stack trace later."""
    with pytest.raises(InvalidSetting):
        load({"TERMIJN_METRICS_PORT": "65536"})


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[kafka]\nbatch = "many"\n', "kafka.batch"),
        ("[kafka]\nbatch = true\n", "kafka.batch"),
        ("[kafka]\nbacth = 10\n", "kafka.bacth"),
        ("[kafak]\nbatch = 10\n", "kafak"),
        ("kafka = 10\n", "kafka"),
        ("[kafka\n", "file"),
    ],
)
def test_an_invalid_key_of_the_file_is_named_with_the_file(file: Path, text: str, key: str) -> None:
    """A typing error is never ignored."""
    with pytest.raises(InvalidSetting) as refused:
        load(write_settings(file, text))
    assert str(refused.value).startswith(f"{file}: {key}: ")
    assert (refused.value.where, refused.value.key) == (str(file), key)


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    """It was configured to be read."""
    with pytest.raises(InvalidSetting, match=r"absent\.toml: file: cannot be read"):
        load({"TERMIJN_SETTINGS": str(tmp_path / "absent.toml")})


def test_a_file_that_is_not_text_is_named(file: Path) -> None:
    """It is named whatever it contains."""
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidSetting, match="is not UTF-8"):
        load({"TERMIJN_SETTINGS": str(file)})


def test_a_secret_is_never_shown(file: Path) -> None:
    """The ledger's URL has a password; from the environment or from the file."""
    url = "postgresql+psycopg://termijn:geheim@database/termijn"
    for environment in (
        {"TERMIJN_LEDGER_URL": url},
        write_settings(file, f'[storage]\nledger_url = "{url}"\n'),
    ):
        assert load(environment).ledger_url == url
        [setting] = [
            view for view in list_settings(environment) if view.variable == "TERMIJN_LEDGER_URL"
        ]
        assert setting.value == "(set)"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCHEMA_REGISTRY_URL", "https://u:geheim@registry"),
        ("SCHEMA_REGISTRY_URL", "https://registry,https://u:geheim@registry"),
        ("SCHEMA_REGISTRY_URL", "https://registry?password=geheim"),
        ("TERMIJN_TRACING", "http://u:geheim@collector:4318"),
        ("TERMIJN_LEDGER_URL", "mysql://u:geheim@database/termijn"),
        ("TERMIJN_VAULT_URL", "postgresql://u:gehe@im-geheim@database/termijn"),
    ],
)
def test_an_address_that_would_show_a_password_is_refused(variable: str, value: str) -> None:
    """An address that could never be used is refused as well; the error quotes nothing of it."""
    with pytest.raises(InvalidSetting, match=variable) as raised:
        load({variable: value})
    assert "geheim" not in str(raised.value)


SECURED = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "termijn-tagger",
}


def test_the_kafka_password_is_read_from_its_file(tmp_path: Path) -> None:
    """The line end that editors add is dropped; the password is shown nowhere."""
    file = tmp_path / "password"
    file.write_text("geheim\n", "utf-8")
    environment = {**SECURED, "KAFKA_SASL_PASSWORD_FILE": str(file)}
    security = kafka_security(load(environment).kafka)
    assert (security.username, security.password) == ("termijn-tagger", "geheim")
    assert "geheim" not in repr(security)


def test_a_kafka_password_in_the_environment_is_never_shown() -> None:
    """Neither listed, nor in the `repr` that a debugger prints."""
    environment = {**SECURED, "KAFKA_SASL_PASSWORD": "geheim"}
    settings = load(environment)
    assert kafka_security(settings.kafka).password == "geheim"
    assert "geheim" not in repr(settings)
    [setting] = [
        view for view in list_settings(environment) if view.variable == "KAFKA_SASL_PASSWORD"
    ]
    assert setting.value == "(set)"


def test_a_kafka_password_in_the_settings_file_is_refused(file: Path) -> None:
    """That file is shown to people who ask for the settings; the text is not repeated."""
    with pytest.raises(
        InvalidSetting, match=r"kafka\.sasl_password: cannot be set in a file"
    ) as refused:
        load(write_settings(file, '[kafka]\nsasl_password = "geheim"\n'))
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        (SECURED, "kafka: KAFKA_SASL_PASSWORD_FILE: is not set, and SASL_SSL needs it"),
        (
            {**SECURED, "KAFKA_SASL_PASSWORD_FILE": "/none"},
            "kafka: KAFKA_SASL_PASSWORD_FILE: /none cannot be read: FileNotFoundError",
        ),
        (
            {**SECURED, "KAFKA_SASL_PASSWORD": "x", "KAFKA_SASL_PASSWORD_FILE": "/none"},
            "kafka: KAFKA_SASL_PASSWORD_FILE: is set together with KAFKA_SASL_PASSWORD; "
            "set only one of them",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_FILE": "/none"},
            "kafka: KAFKA_SSL_CA_FILE: /none cannot be read: FileNotFoundError",
        ),
    ],
    ids=["no password", "no file", "two", "no authority"],
)
def test_a_problem_with_the_kafka_settings_is_one_line(
    environment: dict[str, str], missing: str
) -> None:
    """The variable, and what is wrong with it."""
    with pytest.raises(InvalidSetting) as refused:
        kafka_security(load(environment).kafka)
    assert str(refused.value) == missing


def test_an_empty_password_file_is_refused(tmp_path: Path) -> None:
    """The secret was never written."""
    file = tmp_path / "password"
    file.write_text("\n", "utf-8")
    with pytest.raises(InvalidSetting, match="is empty"):
        kafka_security(load({**SECURED, "KAFKA_SASL_PASSWORD_FILE": str(file)}).kafka)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("KAFKA_SECURITY_PROTOCOL", "TLS"), ("KAFKA_SASL_MECHANISM", "GSSAPI")],
)
def test_an_unknown_security_protocol_is_refused(variable: str, value: str) -> None:
    """A typing error must not leave the connection unencrypted."""
    with pytest.raises(InvalidSetting, match="must be one of"):
        load({variable: value})


def test_each_setting_shows_where_it_comes_from(file: Path) -> None:
    """A variable, the file, or the default."""
    environment = write_settings(file, "[kafka]\nbatch = 10\n", TERMIJN_CLAIM_RECORDS="20")
    values = {
        setting.key: (setting.value, setting.source) for setting in list_settings(environment)
    }
    assert values["kafka.batch"] == ("10", str(file))
    assert values["deleting.claim_records"] == ("20", "TERMIJN_CLAIM_RECORDS")
    assert values["deleting.dispatch_batch"] == ("1000", "default")


def test_each_setting_has_its_own_variable_and_an_explanation() -> None:
    """No two read the same; all are explained."""
    settings = list(list_settings({}))
    assert len({setting.variable for setting in settings}) == len(settings) == 45
    assert all(setting.meaning.endswith(".") for setting in settings)


def test_a_child_process_gets_a_copy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are added for a child do not change the parent's."""
    monkeypatch.setenv("TERMIJN_BATCH", "7")
    for_child = settings_loader.environment()
    for_child["TERMIJN_BATCH"] = "8"
    assert load().kafka.batch == 7

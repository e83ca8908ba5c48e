"""The pages together name everything there is, and nothing that is not.

The pages are the README.md of the tree and every Markdown file beside the code.
"""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from schemas import topics
from schemas.cloudevents import CloudEvent, parse_rfc3339, to_headers
from schemas.schema_files import load as load_schemas
from services.app import reference_tables, settings_loader
from services.app.cli.lazy_group import list_subcommands
from services.app.cli.main import termijn
from services.ledger.grants import GRANTS
from services.operations.metric_catalogue import CATALOGUE
from services.operations.ports import PORTS
from services.storage.database_roles import group_name

ROOT = Path(__file__).parents[2]
FOLDERS = "schemas|services|consumers|deploy|tests"
FRONT = ROOT / "README.md"
RUNBOOKS = ROOT / "deploy" / "runbooks.md"
PAGES = {
    page: page.read_text("utf-8")
    for page in [
        FRONT,
        *sorted(p for top in FOLDERS.split("|") for p in (ROOT / top).glob("**/*.md")),
    ]
    if "node_modules" not in page.parts
}
ALL = "\n".join(PAGES.values())
TABLE_ROWS = [line for line in ALL.splitlines() if line.startswith("|")]
RECIPES = ("<!-- recipes -->", "<!-- end of recipes -->")
"""Between them a page has what is looked up and not read through."""
GENERATED = re.compile(r"<!-- generated: ([\w-]+) -->")
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    """A page as a test's name."""
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def commands(
    group: click.Group, name: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is not hidden, with its name in full."""
    for word, command in list_subcommands(group):
        if command.hidden:
            continue
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield (*name, word), command
            yield from commands(command, (*name, word))
        else:
            yield (*name, word), command


COMMANDS = dict(commands(termijn))


def section(title: str) -> str:
    """The text under a heading of the second level, which only one page has."""
    [text] = [text for text in PAGES.values() if f"\n## {title}\n" in text]
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_cells(text: str) -> list[str]:
    """Return what is between backticks in the first column of a text's tables."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return [word for cell in rows for word in re.findall(r"`([^`]+)`", cell)]


def table(text: str, header: str) -> str:
    """The one table whose header row begins so."""
    return text.split(header, 1)[1].split("\n\n", 1)[0]


def blocks(text: str, language: str = "") -> list[str]:
    """The contents of the code blocks in a language."""
    return [block[3] for block in BLOCK.finditer(text) if block[2] == language]


def example_line(line: str) -> str:
    """A line of an example as it is given, with a role where the reader is to name one."""
    return line.strip().removeprefix("$ ").replace("termijn ROLE", "termijn tagger")


def examples(text: str = ALL) -> list[str]:
    """Return the lines of the code blocks that are commands of Termijn."""
    return [
        line
        for block in blocks(text)
        for line in map(example_line, block.splitlines())
        if line.startswith("termijn ") and "│" not in line
    ]


def mentions() -> list[str]:
    """Everything in backticks in the text that begins with `termijn` and a blank."""
    return re.findall(r"`(termijn [^`\n]+)`", ALL)


def named(words: list[str]) -> tuple[str, ...]:
    """The command that words begin with."""
    for length in (2, 1):
        if tuple(words[:length]) in COMMANDS:
            return tuple(words[:length])
    raise AssertionError(f"there is no command {' '.join(words)}")


def avro_fields(schema: str, items: str) -> dict[str, dict[str, Any]]:
    """Return the fields of a message by name: those that it states once, and those of its items."""
    fields = {field["name"]: field for field in load_schemas().newest(schema).definition["fields"]}
    item_fields = fields.pop(items)["type"]["items"]["fields"]
    return fields | {field["name"]: field for field in item_fields}


def symbols(schema: str, items: str, field: str) -> list[str]:
    """The values of an enumeration."""
    return list(avro_fields(schema, items)[field]["type"]["symbols"])


@pytest.mark.parametrize("page", reference_tables.PAGES, ids=str)
def test_the_generated_tables_are_up_to_date(page: Path) -> None:
    """`make generate` writes them: `termijn deploy write deploy --pages .`."""
    tables = reference_tables.reference_tables(termijn)
    text = (ROOT / page).read_text("utf-8")
    assert text == reference_tables.fill_tables(text, tables)


def test_every_table_is_on_a_page() -> None:
    """Once: a table that no page asks for would be missed only by its readers."""
    tables = reference_tables.reference_tables(termijn)
    assert sorted(GENERATED.findall(ALL)) == sorted(tables)


def test_a_page_that_asks_for_an_unknown_table_is_not_written() -> None:
    """The error names the tables that exist."""
    page = "<!-- generated: metricks -->\n<!-- end -->\n"
    with pytest.raises(reference_tables.UnknownTable, match=r"'metricks'.*metrics"):
        reference_tables.fill_tables(page, reference_tables.reference_tables(termijn))


def test_the_table_of_commands_is_the_command_line() -> None:
    """Each command once, and none that does not exist."""
    in_table = sorted(first_cells(section("Commands")))
    assert in_table == sorted("termijn " + " ".join(name) for name in COMMANDS)


def test_the_table_of_settings_is_the_settings() -> None:
    """Variables and keys of the file, each once."""
    in_table = first_cells(section("Settings"))
    assert in_table == [setting.variable for setting in settings_loader.list_settings({})]


@pytest.mark.parametrize(
    "setting", list(settings_loader.list_settings({})), ids=lambda setting: setting.variable
)
def test_the_page_names_the_key_and_the_default_of_each_setting(
    setting: settings_loader.SettingView,
) -> None:
    """As `termijn settings` shows them; an empty default is described."""
    [row] = [line for line in TABLE_ROWS if line.startswith(f"| `{setting.variable}` |")]
    assert f"| `{setting.key}` |" in row
    assert not setting.value or f"`{setting.value}`" in row


def test_no_setting_is_named_that_there_is_not() -> None:
    """The variables in the text too; three are not settings of a role."""
    variables = {setting.variable for setting in settings_loader.list_settings({})}
    named_anywhere = set(re.findall(r"\b(?:TERMIJN|KAFKA|SCHEMA)_[A-Z_]+", ALL))
    of_the_tests = {"TERMIJN_REQUIRE_ALL", "TERMIJN_CHAOS_COMPANIES", "TERMIJN_CHAOS_ERASURES"}
    assert named_anywhere - variables == {"TERMIJN_SETTINGS", *of_the_tests}


def test_the_table_of_metrics_is_the_catalogue() -> None:
    """Each metric once, with its labels."""
    rows = [line.split("|")[1:3] for line in section("Metrics").splitlines() if "| `" in line]
    in_table = {
        re.findall(r"`([^`]+)`", name)[0]: tuple(re.findall(r"`([^`]+)`", labels))
        for name, labels in rows
    }
    assert in_table == {metric.name: metric.labels for metric in CATALOGUE}


def test_no_metric_is_named_that_there_is_not() -> None:
    """In the text either."""
    names = {metric.name for metric in CATALOGUE} | {group_name(role) for role in GRANTS}
    assert set(re.findall(r"\btermijn_[a-z_]+", ALL)) - names == set()


def test_each_role_has_its_port() -> None:
    """Where Prometheus finds it."""
    text = section("Status")
    assert [
        role for role, port in PORTS.items() if f"{port} ({role})" not in " ".join(text.split())
    ] == []


@pytest.mark.parametrize("line", examples())
def test_an_example_is_a_command_that_can_be_given(line: str) -> None:
    """Its name, its options, and whatever it cannot do without."""
    words = shlex.split(line, comments=True)[1:]
    name = named(words)
    command = COMMANDS[name]
    parser = command.make_parser(click.Context(command))
    options, rest, _ = parser.parse_args(words[len(name) :])
    assert not rest
    missing = [
        parameter.name
        for parameter in command.params
        if parameter.required and options.get(str(parameter.name)) is None
    ]
    assert not missing


@pytest.mark.parametrize("mention", sorted(set(mentions())))
def test_a_mention_is_a_command_with_its_options(mention: str) -> None:
    """In the text as in the examples, though there it need not be whole."""
    words = mention.split()[1:]
    if words[0] == "COMMAND":
        return
    command = COMMANDS[named(words)]
    names = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= names


def test_an_operators_command_is_shown_with_a_name_and_a_reason() -> None:
    """A copied line is not refused. The runbooks say once, at the top, where the name goes."""
    assert "`--operator NAME` or `TERMIJN_OPERATOR`" in PAGES[RUNBOOKS].split("\n## ", 1)[0]
    for line in examples("\n".join(text for page, text in PAGES.items() if page != RUNBOOKS)):
        command = COMMANDS[named(shlex.split(line, comments=True)[1:])]
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--operator" not in options or "--operator NAME" in line


@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_its_help(name: tuple[str, ...]) -> None:
    """`--help` is complete."""
    command = COMMANDS[name]
    assert command.help
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert [option.name for option in options if not option.help] == []


def test_every_path_is_there() -> None:
    """Files and folders of the project, also those that prove a guarantee."""
    paths = set(re.findall(rf"`((?:{FOLDERS})/[\w./-]*|\.ci/\w+|[A-Z]+\.md|LICENSE)`", ALL))
    assert len(paths) > 20
    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_guarantee_names_tests() -> None:
    """Each row of the table names at least one file, and each of these files contains tests."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section("Guarantees and how each is tested").splitlines()
        if line.startswith("|") and not line.startswith(("| guarantee", "|---"))
    ]
    assert rows[0][0]
    named = [re.findall(r"`(tests/[\w/]+\.py)`", tests) for _, tests in rows]
    assert all(named)
    files = {path for paths in named for path in paths}
    assert [path for path in files if "def test_" not in (ROOT / path).read_text("utf-8")] == []


def test_the_layout_is_the_folders() -> None:
    """The folders of the tree and of the tests."""
    block = section("Layout").split("```")[1]
    assert re.findall(r"^(\w+)/", block, re.MULTILINE) == FOLDERS.split("|")
    assert all(
        (ROOT / "tests" / folder).is_dir()
        for folder in re.findall(r"(\w+)/", block[block.index("\ntests/") + 7 :])
    )
    parts = block.split("services/", 1)[1].split("consumers/", 1)[0]
    assert all((ROOT / "services" / folder).is_dir() for folder in re.findall(r"(\w+)/", parts))


@pytest.mark.parametrize(
    ("schema", "items", "header"),
    [
        ("command", "commands", "| command field |"),
        ("acknowledgement", "acknowledgements", "| answer field |"),
    ],
)
def test_the_fields_of_what_systems_see_are_those_of_its_schema(
    schema: str, items: str, header: str
) -> None:
    """Each once, and none that is not there."""
    in_table = first_cells(table(ALL, header))
    assert sorted(in_table) == sorted(avro_fields(schema, items))


def test_every_status_and_every_action_is_told() -> None:
    """Those that are not sent yet are named as such."""
    text = section("How to obey commands")
    statuses = symbols("acknowledgement", "acknowledgements", "status")
    values = [*statuses, *symbols("command", "commands", "action")]
    assert [value for value in values if f"`{value}`" not in text] == []


def test_the_table_of_headers_is_what_is_published() -> None:
    """The CloudEvents binding, with the extension for history."""
    event = CloudEvent(
        id="1",
        source="/crm",
        type="orders.order-placed",
        time=parse_rfc3339("2026-03-15T13:00:00Z"),
        data={},
        backfill="2019",
    )
    in_table = first_cells(table(ALL, "| header | value |"))
    assert sorted(in_table) == sorted(name for name, _ in to_headers(event))


def test_the_topics_are_those_of_the_catalogue() -> None:
    """What a system and a publisher have to know."""
    assert f"`{topics.command_topic('<system>').name}`" in ALL
    assert f"`{topics.acknowledgement_topic('<system>').name}`" in ALL
    assert topics.TAGGED.name in ALL
    assert topics.DEAD_LETTERS.name in ALL


@every_page
def test_a_page_can_be_read_in_a_terminal(page: Path) -> None:
    """No line that a person writes is longer than 120 characters."""
    text = re.sub(r"<!-- generated: .*?<!-- end -->", "", PAGES[page], flags=re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > 120] == []


def test_the_front_page_is_short() -> None:
    """Longer explanations are in the pages beside the code."""
    assert len(PAGES[FRONT].splitlines()) <= 180


@every_page
def test_a_page_is_short(page: Path) -> None:
    """Apart from tables and what is marked as recipes."""
    begin, end = RECIPES
    text = re.sub(f"{begin}.*?{end}", "", PAGES[page], flags=re.DOTALL)
    assert begin not in text
    assert len([line for line in text.splitlines() if not line.startswith("|")]) <= 200


def anchors(page: Path) -> set[str]:
    """What a link into a page may name: its headings as GitHub has them."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading that it has."""
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", PAGES[page])):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        destination = (page.parent / path).resolve() if path else page
        assert destination.is_relative_to(ROOT), target
        assert destination.exists(), target
        assert not anchor or anchor in anchors(destination), target


def test_every_page_is_found_from_the_front_page() -> None:
    """By links, over other pages where need be."""
    paths, waiting = set(), [FRONT]
    while waiting:
        page = waiting.pop()
        paths.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)", PAGES[page]):
            destination = (page.parent / target).resolve()
            waiting += [destination] if destination in PAGES and destination not in paths else []
    assert sorted(name_of(page) for page in PAGES if page not in paths) == []


def test_the_small_policy_does_what_the_front_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are written as they stand, its commands are given, and each prints what is shown."""
    text = section("A small policy")
    for name in [name for name in os.environ if name.startswith(("TERMIJN_", "KAFKA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    for kind, file in (("yaml", "shop.yaml"), ("json", "order.jsonl")):
        assert f"`{file}`" in text
        [content] = blocks(text, kind)
        Path(file).write_text(content, "utf-8")
    [block] = blocks(text)
    calls = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    assert [call.split()[1:3] for call in calls] == [["policy", "lint"], ["explain", "order.jsonl"]]
    for call in calls:
        line, _, expected = call.partition("\n")
        result = CliRunner().invoke(termijn, shlex.split(line)[1:], catch_exceptions=False)
        assert result.exit_code == 0
        assert [row.rstrip() for row in result.stdout.splitlines()] == expected.splitlines()


def test_the_cases_on_the_policy_page_are_those_of_the_small_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The front page's policy does what the page on policies expects of it."""
    monkeypatch.chdir(tmp_path)
    [policy] = blocks(section("A small policy"), "yaml")
    [cases] = blocks(section("Cases"), "yaml")
    Path("shop.yaml").write_text(policy, "utf-8")
    Path("cases.yaml").write_text(cases, "utf-8")
    result = CliRunner().invoke(termijn, ["policy", "test", "cases.yaml"])
    assert (result.exit_code, result.stdout.count("as expected: ")) == (0, 1)


def test_the_changelog_knows_the_version() -> None:
    """Of pyproject, as a heading."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"\n## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_make_target_that_is_named_is_there() -> None:
    """The two commands above all."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"`make (\w+)`", ALL)) | set(
        re.findall(r"^make (\w+)", ALL, re.MULTILINE)
    )
    assert {"run", "test"} <= targets
    assert all(f"\n{target}:" in makefile for target in targets)


def test_the_makefile_runs_commands_that_there_are() -> None:
    """A target that names a command which does not exist only fails at its user's."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    called = re.findall(r"\$\(BIN\)/termijn ([^\n]+)", makefile)
    assert called
    for line in called:
        named(line.split())

"""`termijn policy test`: try a policy on cases that a privacy officer has written."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from services.app import settings_loader
from services.app.cli.check_failed import CheckFailed
from services.app.cli.options import json_option
from services.app.cli.output import say, say_json
from services.deleter.case_check import check_case, check_case_names
from services.policy.case_file import read_cases
from services.policy.loader import load


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="CASES.yaml")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    help="The policy file; by default the one that CASES.yaml names, else the configured one.",
)
@json_option
def test(file: Path, policy: Path | None, as_json: bool) -> None:
    """Try the cases of CASES.yaml: events, and the windows and commands that are expected of them.

    Each difference is shown with its line; the exit code is 1 if there is one. Needs no server.
    """
    document = read_cases(file)
    named = document.policy
    configured = file.parent / named if named else settings_loader.load().storage.policy
    the_policy = load(policy or configured)
    cases = document.cases(
        partial(check_case, policy=the_policy), partial(check_case_names, policy=the_policy)
    )
    differing = 0
    for index, case in enumerate(cases.cases):
        problems = [
            document.lines.problem_at(("cases", index, *path), why)
            for path, why in check_case(case, the_policy)
        ]
        differing += bool(problems)
        if as_json:
            found = [
                {"line": problem.line, "key": problem.key, "what": problem.why}
                for problem in problems
            ]
            say_json({"case": case.case, "as_expected": not problems, "differences": found})
        else:
            say(f"{'differs' if problems else 'as expected'}: {case.case}")
            for problem in problems:
                say(f"  {problem}")
    total = len(cases.cases)
    if differing:
        raise CheckFailed(f"{file}: {differing} of {total} cases differ")
    if not as_json:
        say(f"{file}: {total} cases, all as expected")

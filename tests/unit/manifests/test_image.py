"""The image: no engine builds it here, so its linter judges it, and its steps are done by hand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.manifests.needed import ROOT, cached

IMAGE = ROOT / "deploy" / "image"
CONTAINERFILE = IMAGE / "Containerfile"
_PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==([\w.!+-]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def hadolint() -> Path:
    """Return the path of hadolint 2.15.1."""
    return cached("hadolint", "2.15.1", "hadolint")


def pinned_versions(path: Path) -> dict[str, str]:
    """Return versions by package."""
    document = _PINNED.findall(path.read_text("utf-8"))
    return {canonicalize_name(name): version for name, version in document}


def test_hadolint_has_no_warning(hadolint: Path) -> None:
    completed = subprocess.run(
        [hadolint, CONTAINERFILE], capture_output=True, text=True, check=False
    )
    assert (completed.returncode, completed.stdout) == (0, "")


def test_hadolint_warns_of_a_bad_dockerfile(hadolint: Path, tmp_path: Path) -> None:
    """Proof that the linter does check."""
    bad = tmp_path / "Containerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install termijn\n", "utf-8")
    completed = subprocess.run([hadolint, bad], capture_output=True, text=True, check=False)
    assert "DL3006" in completed.stdout


def test_the_base_image_is_pinned_by_digest() -> None:
    text = CONTAINERFILE.read_text("utf-8")
    assert re.search(
        r"^ARG PYTHON=3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}$", text, re.MULTILINE
    )
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {
        "docker.io/library/python:${PYTHON}"
    }


def test_copied_files_exist_and_are_not_ignored() -> None:
    """`.dockerignore` lists what the build may read."""
    copied = re.findall(
        r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE.read_text("utf-8"), re.MULTILINE
    )
    sources = {source for instruction in copied for source in instruction.split()}
    assert sources
    patterns = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for source in sources:
        assert (ROOT / source).exists()
        assert any(source.startswith(line[1:]) for line in patterns if line.startswith("!"))


def test_the_packages_of_the_image_are_locked_and_none_is_for_developers() -> None:
    """`make lock` writes both."""
    image_packages, all_ = (
        pinned_versions(IMAGE / "requirements.lock"),
        pinned_versions(ROOT / "requirements.lock"),
    )
    assert image_packages.items() <= all_.items()
    assert (
        not {"pytest", "mypy", "ruff", "hypothesis", "avro-python3", "psutil"}
        & image_packages.keys()
    )


def test_the_image_has_all_packages_that_termijn_needs() -> None:
    """All that Termijn with its extra `tracing` requires, and what those require, on this machine."""
    image_packages = pinned_versions(IMAGE / "requirements.lock")
    waiting = [("termijn", frozenset({"", "tracing"}))]
    visited = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        for text in requires_of(name):
            requirement = Requirement(text)
            if requirement.marker and not any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras
            ):
                continue
            assert canonicalize_name(requirement.name) in image_packages, (
                f"{name} requires {requirement.name}"
            )
            following = (requirement.name, frozenset({"", *requirement.extras}))
            if following not in visited:
                visited.add(following)
                waiting.append(following)
    assert len(visited) > 30


def requires_of(name: str) -> list[str]:
    """Return the requirements of an installed package that apply to this platform."""
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def test_the_built_wheel_runs_without_its_sources(tmp_path: Path) -> None:
    """The wheel alone has the policy, the schemas, the migrations and the templates."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels, installed = tmp_path / "wheels", tmp_path / "installed"
    source = tmp_path / "source"
    for part in ("schemas", "services", "consumers", "pyproject.toml", "README.md", "LICENSE"):
        target = source / part
        target.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / part, target], check=True)
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*pip, *build, str(wheels), str(source)], check=True)
    [wheel] = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(installed),
        "TERMIJN_DATA": str(tmp_path / "data"),
        "TERMIJN_OPERATOR": "tester",
    }
    (tmp_path / "none.jsonl").write_text("", "utf-8")
    for command in (
        ["policy", "lint"],
        ["ledger", "migrate"],
        ["explain", "none.jsonl"],
        ["deploy", "write", "written"],
        ["requests", "list"],
    ):
        program = "import services; assert services.__file__.startswith({!r}), services.__file__;"
        program += " from services.app.cli import main; main()"
        completed = subprocess.run(
            [sys.executable, "-c", program.format(str(installed)), *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert completed.returncode == 0, f"{command}: {completed.stderr}"
    assert sorted(files(source / "services") - files(installed / "services")) == []


def files(package: Path) -> set[str]:
    """Return the files of a package, except the pages beside the code."""
    paths = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    return {path.relative_to(package).as_posix() for path in paths if path.suffix != ".md"}

"""The generated files in deploy/ are what the code writes now; `make generate` brings them up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.app.cli.main import termijn

DEPLOY = Path(__file__).parents[3] / "deploy"
GENERATED = sorted(
    path.relative_to(DEPLOY)
    for pattern in (
        "asyncapi.yaml",
        "compose/prometheus.yml",
        "grafana/*",
        "kafka/*",
        "kubernetes/base/*",
        "kubernetes/components/*/*",
        "prometheus/*",
        "schemas/*",
    )
    for path in DEPLOY.glob(pattern)
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files as the commands write them now."""
    directory = tmp_path_factory.mktemp("deploy")
    for group in ("deploy", "monitoring"):
        result = CliRunner().invoke(termijn, [group, "write", str(directory)], env={})
        assert result.exit_code == 0, result.output
    return directory


@pytest.mark.parametrize("path", GENERATED, ids=str)
def test_a_generated_file_is_up_to_date(written: Path, path: Path) -> None:
    """A change of the code is followed by `make generate`."""
    assert (DEPLOY / path).read_text("utf-8") == (written / path).read_text("utf-8")


def test_no_generated_file_is_missing_or_left_over(written: Path) -> None:
    """A file that the commands no longer write would be deployed all the same."""
    files = (path for path in written.rglob("*") if path.is_file())
    assert sorted(path.relative_to(written) for path in files) == GENERATED

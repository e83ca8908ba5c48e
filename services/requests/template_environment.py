"""The Jinja environment of texts for people: letters, pages and certificates."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.requests.wording import finalize


def template_environment(package: str, *, html: bool) -> Environment:
    """Return the environment of a package's templates; it fails on unknown variables.

    With `html`, values are escaped; otherwise they are not, and indentation before blocks is dropped.
    """
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=not html,
    )

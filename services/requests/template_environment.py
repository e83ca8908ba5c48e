"""The Jinja environment for everything that is written for a person: letters, pages, certificates."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.requests.wording import finalize


def template_environment(package: str, *, html: bool) -> Environment:
    """Return an environment for the templates of a package, which fails on unknown variables.

    With `html` every value is escaped; plain text is not, and may be indented as its blocks are.
    """
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        finalize=finalize,
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=not html,
    )

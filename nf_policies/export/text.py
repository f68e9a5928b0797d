"""Text of exported files: templates, and what may stand in a comment."""

import re
from pathlib import Path
from string import Template
from typing import Any

EXPORT_VERSION = 1
"""Of exported files; changes where a program that was written for one would no longer fit the next one."""
TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, values: dict[str, Any]) -> str:
    """A template with its values."""
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(values)


def clean(text: str) -> str:
    """Text for a comment of any language: nothing in it can end the comment."""
    return re.sub(r"[^\w .,:/+\-\[\]()°²%]", "?", text)

"""Each setting is described once, in api/settings.py. Whatever else names the settings names all of them."""

import re

import pytest

from api.commands.settings_page import page
from api.settings import Settings
from tests.support.database import ROOT

SETTINGS = {name.upper() for name in Settings.model_fields}


def test_the_page_of_settings_is_what_make_settings_writes() -> None:
    assert (ROOT / "docs/settings.md").read_text() == page(), "make settings"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_docstring_of_a_setting_ends_with_its_default(name: str) -> None:
    field = Settings.model_fields[name]
    description = field.description or ""
    if field.is_required():
        assert description.endswith(" Required.")
    elif isinstance(field.default, int | str):
        assert description.endswith(f" Default: {field.default}.")
    else:  # it is not set, and the docstring says what that means
        assert re.search(r"\. (Default: (none|not checked)|Required (unless|if) [A-Z_]+ is set)\.$", description)


def test_the_example_of_a_dotenv_file_names_every_setting() -> None:
    other_programs = {"MIGRATION_DATABASE_URL", "POSTGRES_PASSWORD"}
    other_programs |= {f"APP_{role}_PASSWORD" for role in ("API", "AUDITOR", "MIGRATOR")}
    named = re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(named) == SETTINGS | other_programs


def test_compose_passes_every_setting_to_the_api() -> None:
    service = (ROOT / "compose.yaml").read_text().partition("\n  api:\n")[2]
    assert set(re.findall(r"^      ([A-Z_]+):", service, re.MULTILINE)) == SETTINGS | {"PGPASSWORD"}

"""docs/metrics.md: what it lists is what the metrics say of themselves, and what the API exports."""

from api.commands.metrics_page import page
from tests.support.database import ROOT


def test_the_page_of_metrics_is_what_make_settings_writes() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == page(), "make settings"

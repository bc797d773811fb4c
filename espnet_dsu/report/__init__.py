"""``report.html``: what an experiment sounds like, how it scored, how it trained."""

from espnet_dsu.report.page import ReportOptions, make_report

__all__ = ["ReportOptions", "make_report"]

"""The report as one HTML file that needs nothing else."""

from llamaner.evaluation.page.page import can_write_pages, require_page, write_page

__all__ = ["can_write_pages", "require_page", "write_page"]

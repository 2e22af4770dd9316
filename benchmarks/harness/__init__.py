"""What ``bench.py`` is made of: workers, parts, statistics and the page."""

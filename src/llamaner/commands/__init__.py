"""Commands that belong together; ``llamaner.cli`` has the others, and puts all into one."""

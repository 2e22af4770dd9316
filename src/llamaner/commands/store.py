"""``llamaner store``: what is stored, whether it is whole, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from llamaner.errors import ConfigurationError

store = App(name="store", help="List, verify and clear the stored features.")


@store.command(name="list")
def store_list(
    *,
    store: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Show what is stored, and how much room it takes.

    Example: `llamaner store list`

    Parameters
    ----------
    store
        Folder of the feature store; else in the user's cache.
    as_json
        Print JSON.

    """
    from llamaner.backbone import FeatureStore
    from llamaner.reports import print_json, print_store

    reports = FeatureStore(store).list()
    if as_json:
        print_json([report.to_dict() for report in reports])
    else:
        print_store(reports)
    return 0


@store.command(name="verify")
def store_verify(*, store: Path | None = None) -> int:
    """Read all stored features; drop what is damaged, to be computed anew when it is used.

    Example: `llamaner store verify`

    Exits with 1 where something was damaged.

    Parameters
    ----------
    store
        Folder of the feature store; else in the user's cache.

    """
    from llamaner.backbone import FeatureStore
    from llamaner.reports import output

    damaged = FeatureStore(store).verify()
    for key, count in damaged.items():
        output.print(f"{key[:12]}: {count:,} damaged" if count else f"{key[:12]}: whole")
    return 1 if any(damaged.values()) else 0


@store.command(name="clear")
def store_clear(
    key: str | None = None,
    /,
    *,
    all: Annotated[bool, Parameter(negative="")] = False,
    store: Path | None = None,
) -> int:
    """Delete stored features.

    Example: `llamaner store clear 4d2a25`

    Parameters
    ----------
    key
        The beginning of a key that `llamaner store list` shows.
    all
        Delete everything.
    store
        Folder of the feature store; else in the user's cache.

    """
    from llamaner.backbone import FeatureStore
    from llamaner.reports import output

    if (key is None) != all:
        raise ConfigurationError("say which features to delete: a key, or --all")
    freed = FeatureStore(store).clear(key)
    output.print(f"{freed / 2**20:,.1f} MiB freed")
    return 0

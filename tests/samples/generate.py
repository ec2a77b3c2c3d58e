"""Makes exports and change events: `python -m tests.samples.generate <kind> <folder>`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from tests.samples.bedrock_export import write_bedrock_export
from tests.samples.catia_export import write_catia_changes, write_catia_export
from tests.samples.purchase_event_files import write_purchase_events
from tests.samples.purchase_events import PRECISIONS


def main(arguments: Sequence[str] | None = None) -> None:
    """Write what the command line asks for and print its folder."""
    options = _parser().parse_args(arguments)
    print(options.write(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.samples.generate", description=__doc__)
    tables = parser.add_subparsers(required=True)

    bedrock = tables.add_parser("bedrock", help="conversations of a Bedrock chat, about 14 KB each, for measuring")
    bedrock.add_argument("folder", type=Path)
    bedrock.add_argument("--conversations", type=int, default=40_000)
    bedrock.add_argument("--files", type=int, default=8)
    bedrock.add_argument("--seed", type=int, default=1)
    bedrock.set_defaults(write=_bedrock)

    catia = tables.add_parser("catia", help="the chatbot's table, with every oddity that it has shown")
    catia.add_argument("folder", type=Path)
    catia.add_argument("--users", type=int, default=60)
    catia.add_argument("--seed", type=int, default=1)
    catia.set_defaults(write=_catia)

    changes = tables.add_parser("catia-changes", help="the incremental export of the day after, of ordinary users")
    changes.add_argument("folder", type=Path)
    changes.add_argument("--users", type=int, default=60)
    changes.add_argument("--share", type=float, default=0.05, help="of the items that change, 0 to 1 (default: 0.05)")
    changes.add_argument("--seed", type=int, default=1)
    changes.set_defaults(write=_catia_changes)

    purchases = tables.add_parser("purchases", help="change events of the purchases table, as JSON lines")
    purchases.add_argument("folder", type=Path)
    purchases.add_argument("--events", type=int, default=100_000)
    purchases.add_argument("--files", type=int, default=8)
    purchases.add_argument("--seed", type=int, default=1)
    purchases.add_argument("--odd", type=float, default=0.0, help="the share of odd lines, 0 to 1 (default: none)")
    purchases.add_argument("--kinesis", choices=PRECISIONS, help="records as Kinesis brings them, times in this unit")
    purchases.set_defaults(write=_purchases)
    return parser


def _bedrock(options: argparse.Namespace) -> Path:
    return write_bedrock_export(
        options.folder,
        conversations=options.conversations,
        files=options.files,
        seed=options.seed,
        processes=os.cpu_count() or 1,
    )


def _catia(options: argparse.Namespace) -> Path:
    return write_catia_export(options.folder, users=options.users, seed=options.seed)


def _catia_changes(options: argparse.Namespace) -> Path:
    return write_catia_changes(options.folder, users=options.users, share=options.share, seed=options.seed)


def _purchases(options: argparse.Namespace) -> Path:
    write_purchase_events(
        options.folder,
        events=options.events,
        files=options.files,
        seed=options.seed,
        odd=options.odd,
        precision=options.kinesis,
    )
    folder: Path = options.folder
    return folder


if __name__ == "__main__":
    main()

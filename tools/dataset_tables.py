"""Writes the README's tables of the datasets from their contracts.

`python -m tools.dataset_tables` rewrites what stands between the two markers of README.md;
with `--check` it changes nothing and exits with 1 when the tables are not those of the contracts.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from catlake.contracts.contract import Column, Contract, contract, contract_names

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- datasets:begin -->"
END = "<!-- datasets:end -->"
FORMATS = {"csv": "CSV", "json": "JSON", "parquet": "Parquet"}
COMMAND = "python -m tools.dataset_tables"


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrites or checks the README; returns the exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the README's dataset tables from schemas/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when the tables are stale")
    parser.add_argument("--readme", type=Path, default=README, help="the page to rewrite (default: README.md)")
    options = parser.parse_args(arguments)
    old = options.readme.read_text(encoding="utf-8")
    try:
        new = rewritten(old, dataset_tables())
    except ValueError as error:
        print(f"{options.readme}: {error}", file=sys.stderr)
        return 1
    if old == new:
        return 0
    if options.check:
        print(f"{options.readme}: the dataset tables are stale; run {COMMAND}", file=sys.stderr)
        return 1
    options.readme.write_text(new, encoding="utf-8")
    return 0


def dataset_tables() -> str:
    """The Markdown of all datasets, in the order of the contracts' paths: as the data flows."""
    contracts = sorted(map(contract, contract_names()), key=lambda one: one.path_template)
    return "\n".join(map(_dataset, contracts))


def rewritten(page: str, tables: str) -> str:
    """A page with what stands between the markers replaced.

    Raises:
        ValueError: The page has not each marker once, in order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"needs one line {BEGIN} and, below it, one line {END}")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables}{END}{after}"


def _dataset(dataset: Contract) -> str:
    table = f" Catalog table `{dataset.table}`." if dataset.table else ""
    key = f"; key {_code(dataset.key)}" if dataset.key else ""
    lines = [
        f"### {dataset.title}",
        "",
        f"{dataset.description} [Contract](schemas/{dataset.name}.odcs.yaml), version {dataset.version}.",
        "",
        f"{FORMATS[dataset.format]}, `{dataset.path_template}`{key}.{table}",
        "",
        "| column | type | values | description |",
        "|---|---|---|---|",
        *(row for column in dataset.columns for row in _rows(column)),
        *(row for column in dataset.partitions for row in _rows(column, "partition; ")),
    ]
    return "\n".join(lines) + "\n"


def _rows(column: Column, mark: str = "") -> Iterator[str]:
    """The row of a column, then those of its fields: `productos[].codigo`, `resumen.moneda`."""
    if not column.fields:
        yield _row(column.name, column.catalog_type, mark + _values(column), column.description)
        return
    array = column.logical_type == "array"
    kind = "array of structs" if array else "struct"
    yield _row(column.name, kind, mark + _values(column), column.description)
    for field in column.fields:
        yield _row(f"{column.name}{'[]' if array else ''}.{field.name}", field.catalog_type, "", field.description)


def _row(name: str, kind: str, values: str, description: str) -> str:
    # A bar would end the cell, in code spans too.
    cells = (cell.replace("|", r"\|") for cell in (f"`{name}`", kind, values, description))
    return "| " + " | ".join(cells) + " |"


def _values(column: Column) -> str:
    rules = ["required" if column.required else "optional"]
    if column.unique:
        rules.append("unique")
    if column.allowed_values:
        rules.append(_code(column.allowed_values))
    if column.minimum is not None:
        rules.append(f"≥ {column.minimum}")
    return "; ".join(rules)


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.exit(main())

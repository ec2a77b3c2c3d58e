"""docs/datasets.md, the page of all datasets, from the contracts in schemas/."""

from collections.abc import Iterator, Sequence

from catlake.contracts.contract import Column, Contract, contract, contract_names

FORMATS = {"csv": "CSV", "iceberg": "Iceberg table", "json": "JSON", "parquet": "Parquet"}
INTRODUCTION = """\
# Datasets

Every dataset that the jobs write, in the order of the paths. `make docs` writes this page from the
contracts in [schemas/](../schemas/) (Open Data Contract Standard); change those, not this page. The
[glossary](glossary.md) explains the Spanish names.
"""


def datasets_page() -> str:
    """The Markdown of the page."""
    contracts = sorted(map(contract, contract_names()), key=lambda dataset: dataset.path_template)
    return "\n".join([INTRODUCTION, *map(_section, contracts)])


def _section(dataset: Contract) -> str:
    table = f" Catalog table `{dataset.table}`." if dataset.table else ""
    key = f"; key {_code(dataset.key)}" if dataset.key else ""
    lines = [
        f"## {dataset.title}",
        "",
        f"{dataset.description} [Contract](../schemas/{dataset.name}.odcs.yaml), version {dataset.version}.",
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

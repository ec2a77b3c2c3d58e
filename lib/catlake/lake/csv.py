r"""How Spark reads catlake's CSV files: RFC 4180, UTF-8, a header, `\n` between rows, empty = absent.

Spark's defaults lose text (they trim, escape with a backslash, and split at newlines); with these options what
`dataset_writer` writes comes back whole, quotes, CRLF, NUL and all.
"""

READ_OPTIONS: dict[str, str | bool] = {
    "header": True,
    "multiLine": True,
    "quote": '"',
    "escape": '"',
    # Without these two, Spark's parser drops a NUL near a quote or a newline.
    "charToEscapeQuoteEscaping": '"',
    "lineSep": "\n",
    "ignoreLeadingWhiteSpace": False,
    "ignoreTrailingWhiteSpace": False,
    "mode": "FAILFAST",
    # The header must be the contract's, not merely as long.
    "enforceSchema": False,
}

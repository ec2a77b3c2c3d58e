"""URIs of places: which are refused, and which folder of this machine one names.

Python, boto3 and Hadoop read a URI each in its own way. What passes `broken_rule`, they all read as the same place.
"""

import os
import re
from urllib.parse import unquote

S3_SCHEMES = ("s3", "s3a")

MOST_URI_BYTES, MOST_NAME_BYTES = 800, 255
"""File systems allow names of 255 bytes. A key of S3 has at most 1,024 bytes, with the paths below the URI."""

_ANY = "must be a folder, s3://bucket/… or s3a://bucket/…"


def scheme(uri: str) -> str:
    """The scheme of a URI, such as `s3a`; empty for a path."""
    # Not urlsplit: it drops line breaks and tabs, and cuts a path at '?' and '#'.
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", uri)
    return found[1] if found else ""


def broken_rule(uri: str) -> str | None:
    """The rule that a URI from outside breaks, with the remedy; None for a folder, `file:`, `s3://` or `s3a://`."""
    if len(uri.encode()) > MOST_URI_BYTES or any(len(name.encode()) > MOST_NAME_BYTES for name in uri.split("/")):
        return f"must have at most {MOST_URI_BYTES} bytes, and names of at most {MOST_NAME_BYTES}"
    if not uri.strip():
        return f"{_ANY}, not empty"
    match scheme(uri):
        case "":
            return _ANY if "://" in uri else None
        case "file":
            return _broken_rule_of_file(uri.removeprefix("file:"))
        case "s3" | "s3a" as name:
            return _broken_rule_of_s3(name, uri.removeprefix(f"{name}:"))
    return _ANY


def _broken_rule_of_file(path: str) -> str | None:
    if path.startswith("//") and not path.startswith("///"):
        return "must be file:///<folder>: after two slashes alone comes the name of a machine"
    try:
        is_path = "\0" not in unquote(path, errors="strict")
    except UnicodeDecodeError:
        is_path = False
    return None if is_path and path.strip("/") else "must be file:///<folder>, in UTF-8 where it has %"


def _broken_rule_of_s3(scheme: str, rest: str) -> str | None:
    if not rest.startswith("//"):
        return f"must be {scheme}://bucket/…, with two slashes after {scheme}:"
    bucket, _, key = rest.removeprefix("//").partition("/")
    if not bucket and not key.strip("/"):
        return _ANY
    if not re.fullmatch(r"[A-Za-z0-9._-]+", bucket) or bucket in (".", ".."):
        return "must have the name of a bucket: letters, digits, '.', '_' or '-'"
    # boto3 takes them as parts of the key; Hadoop resolves them: one lake would be at two places.
    if not {"", ".", ".."}.isdisjoint(key.rstrip("/").split("/")) and key.strip("/"):
        return "must have no empty name, no '.' and no '..' between its slashes; give it without"
    return None


def local_path(uri: str) -> str:
    """The absolute path of a folder, given as a path or as a `file:` URI, in which `%20` is a blank."""
    path = unquote(uri.removeprefix("file:")) if scheme(uri) == "file" else uri
    # After two slashes, Hadoop would take the first name for a machine.
    return re.sub("^//+", "/", os.path.abspath(path))

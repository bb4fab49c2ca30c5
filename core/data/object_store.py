"""Object stores through pyarrow: what an address means, and the errors of a store in one line.

fsspec and universal-pathlib need one more package for each kind of store; pyarrow reaches all of them.
"""

import re
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from core.errors import UserError

SCHEMES = {
    "s3": {"allow_delayed_open": "true"},  # One PUT instead of the three requests of a multipart upload.
    "gs": {"retry_limit_seconds": "5"},  # The default limit is a quarter of an hour.
    "gcs": {"retry_limit_seconds": "5"},
    "abfs": {},
    "abfss": {},
}
# The keys of an address's query that are secrets: of an Azure application, and of a shared access signature.
_SECRETS = {"client_secret", "sig"}


def is_address(text: str) -> bool:
    """Whether it is an address, and not the path of a file."""
    return "://" in text


def bare(location: str) -> str:
    """An address without its query and credentials, safe to print."""
    parts = urlsplit(location)
    netloc = parts.netloc.rpartition("@")[2] if _has_key(location) else parts.netloc
    return f"{parts.scheme}://{netloc}{parts.path}"


def has_credentials(location: str) -> bool:
    """Whether an address holds a key, a password or a signature."""
    return _has_key(location) or not _SECRETS.isdisjoint(_query(location))


def _has_key(location: str) -> bool:
    # Before the `@`, Azure has a container and Google `anonymous`.
    before = urlsplit(location).netloc.rpartition("@")[0]
    return ":" in before or (location.startswith("s3:") and bool(before))


@lru_cache(maxsize=16)
def connected(location: str) -> tuple[Any, str]:
    """The `pyarrow.fs.FileSystem` of an address, and the path in it.

    Raises:
        UserError: the store cannot be reached, or the installed pyarrow knows no stores of this kind.
    """
    from pyarrow import ArrowException, ArrowNotImplementedError
    from pyarrow.fs import FileSystem

    parts = urlsplit(location)
    query = urlencode(SCHEMES[parts.scheme] | _query(location))
    try:
        filesystem, path = FileSystem.from_uri(urlunsplit(parts._replace(query=query)))
    except ArrowNotImplementedError as error:
        what = f"the pyarrow here was built without {parts.scheme}://: install that of PyPI (pip install pyarrow)"
        raise UserError(f"{bare(location)} cannot be reached: {what}") from error
    except (ArrowException, OSError, ValueError) as error:
        raise UserError(f"{bare(location)} cannot be reached: {telling(error)}") from error
    return filesystem, path.rstrip("/")


def telling(error: BaseException) -> str:
    """The informative part of a pyarrow error: one line that starts with the service's error code."""
    line = " ".join(str(error).split())
    line = re.sub(r" ?\(Request ID: [^)]*\)", "", re.sub(r"^.*?AWS Error ", "", line))
    http = "add scheme=http to the query of the address, as in s3://…?…&scheme=http"
    if "wrong version number" in line:  # What TLS says of an answer that is not TLS.
        return f"the server speaks http: {http}"
    if line.endswith("SSL connect error"):  # Older pyarrows tell no more.
        return f"SSL connect error: if the server speaks http, {http}"
    return line[:240].rstrip(". ") or type(error).__name__


def _query(location: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(location).query, keep_blank_values=True))

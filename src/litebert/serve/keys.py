"""Who may ask: keys from the command line, the environment and a file, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path

from litebert.errors import DataError, UsageError
from litebert.serve.settings import ServeSettings

VARIABLE = "LITEBERT_API_KEY"
"""Environment variable with a key, or several between commas."""


class Keys:
    """The keys that are accepted; none: everybody is.

    Args:
        given: Of the command line and the environment.
        file: With one a line; read again by ``reload``.
    """

    def __init__(self, given: Iterable[str] = (), file: str | None = None) -> None:
        self._given, self._file = [key for key in given if key], file
        self._digests: tuple[bytes, ...] = ()
        self.reload()

    def __bool__(self) -> bool:
        return bool(self._digests)

    def reload(self) -> None:
        """Read the file again.

        Raises:
            DataError: It cannot be read, or holds no key.
        """
        found = list(self._given)
        if self._file is not None:
            try:
                lines = Path(self._file).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"cannot read the keys: {error}", path=self._file) from error
            own = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            if not own:
                raise DataError(
                    "the file holds no key", hint="One key a line; without keys leave it out.", path=self._file
                )
            found += own
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in dict.fromkeys(found))

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request may be served.

        Args:
            headers: By lower-case name; the key is in ``authorization``, with ``Bearer`` or bare, ``x-api-key`` or ``api-key``.
        """
        if not self._digests:
            return True
        said = [headers.get(name, "") for name in ("authorization", "x-api-key", "api-key")]
        said[0] = said[0][7:].strip() if said[0][:7].lower() == "bearer " else said[0]
        allowed = False
        for text in said:
            digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
            for known in self._digests:  # all of them, whichever fits
                allowed |= hmac.compare_digest(digest, known)
        return allowed


def check_open(settings: ServeSettings, keys: Keys) -> None:
    """Refuse to listen to the world without a key.

    Raises:
        UsageError: The address is not this machine's own, there is no key, and nobody said that this is meant.
    """
    if keys or settings.no_auth or _own(settings.host):
        return
    raise UsageError(
        f"listening on {settings.host} lets anybody who can reach it ask, and there is no key",
        hint=f"Set {VARIABLE} or --api-key-file, or say --no-auth if that is meant.",
    )


def _own(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

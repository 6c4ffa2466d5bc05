"""HTTP through the proxies of the environment: http_proxy, https_proxy, all_proxy, no_proxy, in either case.

How the variables are read is the standard library's business. Nothing is looked at before an
address is asked for: a variable that cannot be used hinders no command that fetches nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from builder.errors import Code, ColvertError
from builder.texts import public

SCHEMES = ("http", "https")


def proxy_for(address: str) -> str | None:
    """The proxy through which an address is asked for, or None.

    Raises USAGE, naming the variable, where its value cannot be used.
    """
    parts = urlsplit(address)
    named = _named(parts.scheme)
    if named is None or _is_near(address):
        return None
    return _checked(*named)


def environment() -> dict[str, str]:
    """The same for a program that is started: apt and pip want each variable in full."""
    named = {scheme: _named(scheme) for scheme in SCHEMES}
    found = {f"{scheme}_proxy": _checked(*one) for scheme, one in named.items() if one is not None}
    near = getproxies().get("no")
    return {**found, "no_proxy": near} if near else found


def _named(scheme: str) -> tuple[str, str] | None:
    """The variable that counts for a scheme, and its value."""
    proxies = getproxies()
    for kind in (scheme, "all"):
        if value := proxies.get(kind, "").strip():
            variable = f"{kind}_proxy"
            return (variable if os.environ.get(variable) else variable.upper()), value
    return None


def _is_near(address: str) -> bool:
    """Whether no_proxy names the host, with or without its port."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return bool(proxy_bypass(host) or proxy_bypass(parts.hostname or ""))


def _checked(variable: str, value: str) -> str:
    """A proxy's address with its scheme."""
    address = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(address)
        usable = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not address.isprintable() or " " in address:
        raise ColvertError(
            Code.USAGE,
            f"{variable}={public(value)!r} is not an HTTP proxy",
            hint=f"set {variable}=http://HOST:PORT, or list the hosts to reach directly in no_proxy",
        )
    return address


def _login(address: str) -> str | None:
    """`user:password` of an address, as HTTP wants it."""
    userinfo, at, _ = urlsplit(address).netloc.rpartition("@")
    return unquote(userinfo) if at else None


class Client:
    """Asks for addresses, each through the proxy that its host has; safe to share between threads."""

    def __init__(self, retries: urllib3.Retry | int | None = None) -> None:
        self._retries = retries
        self._pools: dict[str | None, urllib3.PoolManager] = {}
        self._mutex = threading.Lock()

    def request(
        self,
        method: str,
        address: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: urllib3.Timeout | float | None = None,
        preload_content: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """One request; an address may have a user and a password, which no redirect takes elsewhere."""
        login = _login(address)
        known = urllib3.make_headers(basic_auth=login) if login else {}
        return self._pool(proxy_for(address)).request(
            method,
            address,
            headers={**known, **(headers or {})},
            timeout=timeout,
            preload_content=preload_content,
        )

    def _pool(self, proxy: str | None) -> urllib3.PoolManager:
        with self._mutex:
            if proxy not in self._pools:
                self._pools[proxy] = self._open(proxy)
            return self._pools[proxy]

    def _open(self, proxy: str | None) -> urllib3.PoolManager:
        if proxy is None:
            return urllib3.PoolManager(retries=self._retries)
        login = _login(proxy)
        headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
        return urllib3.ProxyManager(proxy, retries=self._retries, proxy_headers=headers)

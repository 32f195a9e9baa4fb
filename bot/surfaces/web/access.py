"""Who may talk to the playground: Host, Origin and token.

    from this machine, to a loopback name, through no proxy     welcome
    anybody else                                                shows the token, once a browser

A page elsewhere can neither reach us under a name that it made point here (DNS rebinding: another
Host than a loopback one needs the token, and a browser gives its cookie to our name only) nor have
a visitor's browser write here (CSRF: Origin and a header of our own are checked).
"""

from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException, Request

from bot.signing import Signer
from bot.surfaces.loopback import host_of, is_local, is_loopback

COOKIE: Final = "atelier_session"
HEADER: Final = "x-atelier"
_SAFE: Final = frozenset({"GET", "HEAD"})


class NeedsToken(HTTPException):
    """The browser has to show the token first."""

    def __init__(self) -> None:
        super().__init__(401, "Enter the token that Atelier shows in its terminal.")


class Access:
    """A dependency of every route of the playground."""

    def __init__(self, signer: Signer, *, loopback_only: bool) -> None:
        """With `loopback_only`, no other name than a loopback one is answered at all."""
        self._signer = signer
        self._loopback_only = loopback_only

    def check_origin(self, request: Request) -> None:
        """Refuse what did not come from a page of ours under a name of ours.

        Raises:
            HTTPException: 403 or 421.
        """
        if self._loopback_only and not is_loopback(host_of(request)):
            raise HTTPException(421, "This server is only called by this machine's own names.")
        if request.method in _SAFE:
            return
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise HTTPException(403, "This request came from another site.")
        if HEADER not in request.headers:
            raise HTTPException(403, "This request did not come from the playground.")

    def check(self, request: Request) -> None:
        """The same, and the token where one is needed.

        Raises:
            HTTPException: also 401.
        """
        self.check_origin(request)
        if is_local(request):
            return
        if not self._signer.is_session(request.cookies.get(COOKIE, "")):
            raise NeedsToken

"""The key with which receivers of our webhooks check them, where fal's receivers look for it."""

from collections.abc import Mapping

from fastapi import APIRouter
from fastapi.responses import JSONResponse


def create_router(jwks: Mapping[str, object]) -> APIRouter:
    """Serve the public key to everybody; receivers may keep it for an hour."""
    router = APIRouter()

    @router.get("/.well-known/jwks.json")
    async def keys() -> JSONResponse:
        return JSONResponse(dict(jwks), headers={"Cache-Control": "public, max-age=3600"})

    return router

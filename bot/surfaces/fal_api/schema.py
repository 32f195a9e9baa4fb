"""What goes out of an endpoint, and the OpenAPI description of what goes in and out."""

from typing import Any, Final

from pydantic import BaseModel

from backends.base import MODELS, NAMED_SIZES
from bot.surfaces.fal_api.endpoints import Endpoint

_REF: Final = "#/components/schemas/{model}"


class Image(BaseModel):
    """A picture; `url` is a link, or a data URI with `sync_mode`. `file_size` is in bytes."""

    url: str
    width: int
    height: int
    content_type: str
    file_name: str
    file_size: int


class Output(BaseModel):
    """The result. `has_nsfw_concepts` is true where the checker did not say that all is well.

    `seeds`, one a picture, is ours: fal tells the first only.
    """

    images: list[Image]
    timings: dict[str, float]
    seed: int
    seeds: list[int]
    has_nsfw_concepts: list[bool]
    prompt: str


class QueueStatus(BaseModel):
    """How a request stands."""

    status: str
    request_id: str
    response_url: str
    status_url: str
    cancel_url: str
    queue_position: int | None = None
    logs: list[dict[str, str]] | None = None
    metrics: dict[str, float] = {}
    error: str | None = None
    error_type: str | None = None


def openapi(endpoint: Endpoint, base: str) -> dict[str, Any]:
    """The endpoint as an OpenAPI 3.1 document, from the classes that check and build its bodies."""
    schemas: dict[str, Any] = {}
    for name, schema in (
        ("Input", _input(endpoint)),
        ("Output", Output.model_json_schema(ref_template=_REF)),
        ("QueueStatus", QueueStatus.model_json_schema(ref_template=_REF)),
    ):
        schemas |= schema.pop("$defs", {})
        schemas[name] = schema
    request = f"/{endpoint.app}/requests/{{request_id}}"
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Queue OpenAPI for {endpoint.id}", "version": "1.0.0"},
        "servers": [{"url": f"{base}/queue"}],
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}
            },
        },
        "security": [{"apiKeyAuth": []}],
        "paths": {
            f"/{endpoint.id}": {
                "post": {
                    "requestBody": {"required": True, "content": _json("Input")},
                    "responses": {"200": _answer("The request was queued.", "QueueStatus")},
                }
            },
            f"{request}/status": {
                "get": _asking("logs", "How the request stands.", "QueueStatus"),
            },
            f"{request}/cancel": {"put": _asking(None, "The request is called off.", None)},
            request: {"get": _asking(None, "The result.", "Output")},
        },
    }


def _input(endpoint: Endpoint) -> dict[str, Any]:
    schema = MODELS[endpoint.model].model_json_schema(ref_template=_REF)
    fields = schema["properties"]
    del fields["model"]  # here the address says it
    fields["image_size"] = {
        "anyOf": [{"$ref": _REF.format(model="ImageSize")}, {"enum": list(NAMED_SIZES)}],
        "default": "landscape_4_3",
    }
    return schema


def _asking(query: str | None, text: str, schema: str | None) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    if query is not None:
        parameters.append({"name": query, "in": "query", "schema": {"type": "boolean"}})
    return {"parameters": parameters, "responses": {"200": _answer(text, schema)}}


def _answer(text: str, schema: str | None) -> dict[str, Any]:
    return {"description": text, **({} if schema is None else {"content": _json(schema)})}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(model=schema)}}}

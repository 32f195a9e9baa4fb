"""Components of messages as Discord stores and returns them."""

from tests.fakes.discord.clock import Snowflakes
from tests.fakes.discord.errors import ApiError
from tests.fakes.discord.state import Attachment, Json


class Placing:
    """Components as Discord stores them: numbered, defaults filled in, media looked up."""

    def __init__(self, ids: Snowflakes, attachments: list[Attachment]) -> None:
        self._ids = ids
        self._attachments = attachments
        self._count = 0

    def all(self, components: list[Json]) -> list[Json]:
        return [self._one(c) for c in components]

    def _one(self, part: Json) -> Json:
        self._count += 1
        placed = {k: v for k, v in part.items() if v is not None}
        placed["id"] = part.get("id") or self._count
        kind = part["type"]
        if "components" in placed:
            placed["components"] = self.all(part["components"])
        if "accessory" in placed:
            placed["accessory"] = self._one(part["accessory"])
        if kind == 17:
            placed |= {"accent_color": part.get("accent_color")}
            placed["spoiler"] = bool(part.get("spoiler"))
        elif kind == 14:
            placed |= {"spacing": part.get("spacing") or 1, "divider": part.get("divider", True)}
        elif kind == 12:
            placed["items"] = [self._media(item) for item in part["items"]]
        elif kind == 11:
            placed |= self._media(part)
        elif kind == 13:
            media = self._resolved(part["file"]["url"])
            placed |= {"file": media, "spoiler": bool(part.get("spoiler"))}
            named = next(
                (a for a in self._attachments if str(a.id) == media.get("attachment_id")), None
            )
            placed |= {"name": named.filename, "size": named.size} if named else {}
        elif kind in (3, 5, 6, 7, 8):
            least = part.get("min_values")
            placed["min_values"] = 1 if least is None else least
            placed["max_values"] = part.get("max_values") or 1
            if "default_values" in placed:
                placed["default_values"] = [
                    {**one, "id": str(one["id"])} for one in placed["default_values"]
                ]
        return placed

    def _media(self, item: Json) -> Json:
        return {
            "media": self._resolved(item["media"]["url"]),
            "description": item.get("description"),
            "spoiler": bool(item.get("spoiler")),
        }

    def _resolved(self, url: str) -> Json:
        found = self._named(url)
        body: Json = {"id": str(self._ids.next()), "url": url, "proxy_url": url}
        if found is None:
            return body
        pixels = found.pixels or (None, None)
        return body | {
            "url": found.url,
            "proxy_url": found.url,
            "width": pixels[0],
            "height": pixels[1],
            "content_type": found.content_type,
            "attachment_id": str(found.id),
        }

    def _named(self, url: str) -> Attachment | None:
        if url.startswith("attachment://"):
            name = url.removeprefix("attachment://")
            for attachment in self._attachments:
                if attachment.filename == name:
                    return attachment
            raise ApiError(50035, problems=[f"media: {url} names no attachment of the message"])
        return next((a for a in self._attachments if a.url == url), None)

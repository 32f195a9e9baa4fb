"""files.*: uploads in three steps, their processing, and what becomes of them."""

from aiohttp import web
from PIL import Image

from tests.fakes.slack.asking import Asked, Method
from tests.fakes.slack.errors import SlackError
from tests.fakes.slack.messages import Messages
from tests.fakes.slack.state import DM, PUBLIC, File, Json
from tests.fakes.slack.world import World

_MOST_BYTES = 1 << 30


class Files:
    """The methods of files.*, and the host that takes and gives bytes."""

    def __init__(self, world: World, messages: Messages) -> None:
        self._world = world
        self._messages = messages
        self.methods = {
            "files.getUploadURLExternal": Method(self.reserve, 4, ("files:write",)),
            "files.completeUploadExternal": Method(self.complete, 4, ("files:write",)),
            "files.info": Method(self.info, 4, ("files:read",)),
            "files.delete": Method(self.delete, 3, ("files:write",)),
        }

    # --- Methods --------------------------------------------------------------------------------

    def reserve(self, asked: Asked) -> Json:
        length = int(asked.text("length"))
        if not 0 < length <= _MOST_BYTES:
            raise SlackError("invalid_arguments", [f"length: {length} is out of range"])
        identity = self._world.new_id("F")
        file = File(identity, asked.team, asked.text("filename"), length, asked.args.get("alt_txt"))
        self._world.files[identity] = file
        return {"file_id": identity, "upload_url": f"{self._world.address}/upload/v1/{identity}"}

    def complete(self, asked: Asked) -> Json:
        wanted = asked.json("files")
        if not isinstance(wanted, list) or not wanted:
            raise SlackError("invalid_arguments", ["missing required field: files"])
        files = [self._world.files.get(str(w.get("id"))) for w in wanted]
        ours = [f for f in files if f is not None and f.team is asked.team]
        if len(ours) != len(wanted) or any(f.state != "uploaded" for f in ours):
            raise SlackError("file_not_found")
        channel = None
        if asked.args.get("channel_id"):
            channel = self._world.channel_for_bot(asked.team, asked.args["channel_id"])
            if asked.team.bot not in channel.members:
                raise SlackError("not_in_channel")
        for file, what in zip(ours, wanted, strict=True):
            file.title = what.get("title") or file.name
            file.state = "complete"
            file.ready_at = self._world.clock.now() + self._world.processing
        if channel is not None and not any(f.alt for f in ours):
            # With alt_txt Slack can lose the share without a word (python-slack-sdk#1818).
            text = {"text": asked.args.get("initial_comment") or " "}
            thread = {"thread_ts": t} if (t := asked.args.get("thread_ts")) else {}
            self._messages.attach(channel, asked.team.bot, text | thread, ours)
        return {"files": [{"id": f.id, "title": f.title} for f in ours]}

    def info(self, asked: Asked) -> Json:
        return {"file": self._shown(self._file(asked))}

    def delete(self, asked: Asked) -> Json:
        self._world.delete_file(self._file(asked))
        return {}

    def _file(self, asked: Asked) -> File:
        file = self._world.files.get(asked.text("file"))
        if file is None or file.team is not asked.team or file.state in ("reserved", "uploaded"):
            raise SlackError("file_not_found")
        if file.user is not None and not self._in_sight(file):
            raise SlackError("file_not_found")
        if file.state == "deleted":
            raise SlackError("file_deleted" if asked.method == "files.delete" else "file_not_found")
        return file

    def _in_sight(self, file: File) -> bool:
        """Whether the bot is where somebody has shared the file, or it is public."""
        places = [self._world.channels[channel] for channel in file.shares]
        return any(place.public or file.team.bot in place.members for place in places)

    def _shown(self, file: File) -> Json:
        """Without a MIME type until it has been processed."""
        ready = self._world.clock.now() >= file.ready_at
        image = file.image if ready else None
        shares: Json = {}
        for channel_id, all_ts in file.shares.items():
            channel = self._world.channels[channel_id]
            group = "public" if channel.kind == PUBLIC else "private"
            told = [{"ts": ts, "channel_name": channel.name} for ts in all_ts]
            shares.setdefault(group, {})[channel_id] = told
        places = {c: self._world.channels[c].kind for c in file.shares}
        return {
            "id": file.id,
            "name": file.name,
            "title": file.title,
            "mimetype": Image.MIME.get(image.format or "", "") if image is not None else "",
            "filetype": (image.format or "").lower() if image is not None else "",
            "size": len(file.data),
            "user": (file.user or file.team.bot).id,
            "mode": "hosted",
            "url_private": self._world.file_url(file),
            "channels": [c for c, kind in places.items() if kind == PUBLIC],
            "ims": [c for c, kind in places.items() if kind == DM],
            "groups": [c for c, kind in places.items() if kind not in (PUBLIC, DM)],
            "shares": shares,
        }

    # --- The host -------------------------------------------------------------------------------

    async def take(self, request: web.Request) -> web.Response:
        """Take the bytes of a reserved file, raw or as the only file of a form."""
        file = self._world.files.get(request.match_info["file"])
        if file is None or file.state != "reserved":
            return web.Response(status=404, text="no such upload")
        if request.content_type == "multipart/form-data":
            parts = [v for v in (await request.post()).values() if isinstance(v, web.FileField)]
            data = parts[0].file.read() if parts else b""
        else:
            data = await request.read()
        if len(data) != file.length:
            problem = f"{len(data)} bytes came of {file.length} that were announced"
            self._world.violate("upload", [problem])
            return web.Response(status=400, text=problem)
        file.data, file.state = data, "uploaded"
        self._world.changes.tell(file)
        return web.Response(text=f"OK - {len(data)}")

    async def give(self, request: web.Request) -> web.Response:
        """Give the bytes to the app with its token, as `url_private` does."""
        file = self._world.files.get(request.match_info["file"])
        if file is None or file.state != "complete":
            return web.Response(status=404)
        if request.headers.get("Authorization") != f"Bearer {file.team.bot_token}":
            return web.Response(text="<html>Sign in</html>", content_type="text/html")
        return web.Response(body=file.data)

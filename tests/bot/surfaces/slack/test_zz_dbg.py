from tests.bot.surfaces.slack.test_moderation import *
async def test_x(tmp_path):
    async with stage(tmp_path) as s:
        mod, log = await moderator(s), await log_channel(s)
        card = await s.drawn(s.ana, "a cat --images 2")
        window = await panel(s, mod, card)
        for _ in range(2):
            await press(s, mod, window, "Hide", "Hidden.")
        for c in s.slack.api.made("chat.postMessage"): print(c.at, c.status, c.error, c.args.get("channel"), c.args.get("text")[:40])

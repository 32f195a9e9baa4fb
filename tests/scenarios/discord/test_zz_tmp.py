import discord
from simcord import ChannelHandle
from bot.surfaces.discord.cards import MAY_BE_LATE
from tests.scenarios.discord.simulated import *
from tests.scenarios.discord.seen import *
async def test_x(tmp_path):
    async with simulated(tmp_path) as (s, backend):
        b = s.env.backend
        import inspect
        print([n for n in dir(b) if "thread" in n])
        deny = discord.PermissionOverwrite(view_channel=False)
        # bot can't see
        bot_role = next(r for r in s.home.roles.values() if r.name=="TestBot")
        hidden = s.home.create_text_channel("hidden", overwrites={bot_role: deny})
        a = await s.ana.at(hidden).slash("imagine", prompt="hang")
        print(a.text, a.private)
        mute = s.home.create_text_channel("mute", overwrites={bot_role: discord.PermissionOverwrite(send_messages=False)})
        a = await s.ben.at(mute).slash("imagine", prompt="a cat")
        await a.card.finished()
        print(a.text)
async def test_long(tmp_path):
    async with simulated(tmp_path) as (s, backend):
        card = await s.drawn(s.ana, "*"*3990, loras="glow:0.1,outline:0.1,stripes:0.1,pixel:0.1")
        print(len(card.text), len(card.pictures[0].alt))
        for label in ("Recipe", "Vary"):
            a = await s.ana.click(card, label); print(label, len(a.text), a.text[:80])
        form = await s.ana.click(card, "Edit"); print(len(form.form["Prompt"]))
        e = await form.fill({}); print(e.text[:50])
        await e.card.finished()
        form = await s.ana.click(card, "Save as preset"); print(form.form)
        made = await form.fill({"Name":"x"*39, "Title":"_"*120, "Template":"{prompt}"+"`"*3000}); print(len(made.text), made.text[:200])
        if made.result.response:
            sh=await s.ana.slash("preset show", preset="x"*39); print(len(sh.text), sh.text[:300])
        r = await s.ana.menu("Use recipe", card); print(r.form["Prompt"][:20])
        q = await s.ana.slash("queue"); print(q.text[:100])
        backend.go.clear()
        await s.app.communities
    

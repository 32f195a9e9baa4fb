"""Whole conversations of the real slack_bolt with the fake, by both ways in."""

import pytest

from tests.fakes.slack import Channel, FakeSlack, Message, Refused, User
from tests.slack_fake.demo import Demo, card, form, picture, plain, post, upload


async def test_a_command_brings_progress_and_then_a_new_message_with_the_picture(
    slack: FakeSlack, either: Demo, ana: User, general: Channel
) -> None:
    answer = await slack.slash(ana, general, "/imagine", "a cat")
    assert not answer.failed
    result = await slack.posted(general, lambda m: m.buttons)
    progress = next(iter(general.messages.values()))
    await progress.until(lambda m: m.deleted)
    assert [v["text"] for v in progress.versions] == ["0 %", "50 %"]
    (seen,) = slack.seen_by(ana, general)
    assert seen.message is result
    assert (seen.text, seen.buttons, seen.private) == ("seed 7", ("Edit",), False)
    assert [p.data for p in seen.open_pictures] == [picture()]
    assert seen.pictures[0].image.size == (8, 8)
    assert [f.name for f in slack.files_of(ana, general)] == ["cat.png"]
    assert result.metadata == {"event_type": "job", "event_payload": {"prompt": "a cat"}}
    assert slack.delivery.late == []


async def test_a_button_opens_a_form_whose_search_and_submit_bring_a_result(
    slack: FakeSlack, either: Demo, ana: User, general: Channel
) -> None:
    message = await post_card(slack, either, general)
    modal = (await (await slack.click(ana, message, "Edit")).until(lambda a: a.has_modal)).modal
    assert (modal.title, list(modal.fields)) == ("Edit", ["Prompt", "Preset"])
    refused = await slack.submit(ana, modal, {"Prompt": "nothing"})
    assert (refused.errors, modal.is_open) == ({"prompt": "Say what to draw."}, True)
    offered = await slack.options(ana, modal, "preset", "dr")
    assert [o["value"] for o in offered] == ["dreamy"]
    await slack.submit(ana, modal, {"prompt": "a dog", "Preset": "Dreamy"})
    assert not modal.is_open
    result = await slack.posted(slack.conversation(ana), lambda m: m.buttons)
    assert result.metadata is not None
    assert result.metadata["event_payload"] == {"prompt": "a dog dreamy"}


async def test_mentions_stay_in_their_thread_and_direct_messages_are_heard(
    slack: FakeSlack, either: Demo, ana: User, general: Channel
) -> None:
    start = await slack.write(ana, general, "what a day")
    await slack.mention(ana, general, "a cat & <more>", thread=start)
    result = await slack.posted(general, lambda m: m.buttons)
    assert result.thread_ts == start.ts
    assert result.metadata is not None
    assert "a cat &amp; &lt;more&gt;" in result.metadata["event_payload"]["prompt"]
    await slack.dm(ana, "a dog")
    await slack.posted(slack.conversation(ana), lambda m: m.buttons)


async def test_the_home_tab_a_shortcut_and_private_words(
    slack: FakeSlack, either: Demo, ana: User, general: Channel
) -> None:
    await slack.open_home(ana)
    home = await slack.home(ana)
    assert home.text == "Your presets"
    assert (await (await slack.click(ana, home, "Edit")).until(lambda a: a.has_modal)).modal.is_open
    said = await slack.write(ana, general, "a fox")
    answer = await slack.shortcut(ana, said, "from_message")
    modal = (await answer.until(lambda a: a.has_modal)).modal
    assert modal.fields["Prompt"]["element"]["initial_value"] == "a fox"
    wrong = await slack.slash(ana, general, "/imagine", "--colour red")
    assert wrong.text == "I do not know that flag."
    assert [s.private for s in slack.seen_by(ana, general)][-1]
    ben = slack.user("Ben")
    slack.invite(general, ben)
    assert "I do not know that flag." not in [s.text for s in slack.seen_by(ben, general)]


async def test_a_menu_of_a_message_is_answered_by_its_response_url(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    options = [{"text": plain(n), "value": n.lower()} for n in ("One", "Two")]
    menu = {"type": "static_select", "action_id": "pick", "options": options}
    blocks = [{"type": "actions", "elements": [menu]}]
    await app.client.chat_postMessage(channel=general.id, blocks=blocks, text="pick")
    message = general.posted[0]
    answer = await slack.select(ana, message, "pick", "Two")
    await answer.until(lambda a: a.text == "You chose two.")


async def test_a_collapsed_container_shows_its_title_only(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    file = await upload(app.client, picture("black"))
    await post(app.client, general.id, card(file, hidden=True))
    (seen,) = slack.seen_by(ana, general)
    assert seen.text == "Sensitive, open to view\nseed 7"
    assert seen.open_pictures == ()
    assert [(p.collapsed, p.data) for p in seen.pictures] == [(True, picture("black"))]


async def test_people_cannot_do_what_slack_does_not_let_them(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    ben = slack.user("Ben", guest=True)
    message = await post_card(slack, app, general)
    slack.commands = {"/imagine": False}
    for act in (
        slack.slash(ben, general, "/imagine", "a cat"),
        slack.slash(ana, general, "/imagin", "a cat"),
        slack.click(ben, message, "Edit"),
        slack.click(ana, message, "Again"),
    ):
        with pytest.raises(Refused):
            await act
    modal = (await (await slack.click(ana, message, "Edit")).until(lambda a: a.has_modal)).modal
    for values in ({}, {"Prompt": "x" * 101}, {"Prompt": "a", "Preset": "unheard"}, {"Size": "1"}):
        with pytest.raises(Refused):
            await slack.submit(ana, modal, values)
    assert slack.seen_by(ben, general) == []


async def test_a_manifest_decides_what_the_app_may_and_hears(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    slack.install(
        {
            "features": {
                "slash_commands": [{"command": "/imagine", "should_escape": True}],
                "shortcuts": [{"callback_id": "from_message", "type": "message"}],
            },
            "oauth_config": {"scopes": {"bot": ["commands", "chat:write"]}},
            "settings": {"event_subscriptions": {"bot_events": ["app_mention"]}},
        }
    )
    await slack.slash(ana, general, "/imagine", "--see https://example.org <@U1|ben> & more")
    assert app.bodies[-1]["text"] == "--see <https://example.org> <@U1|ben> &amp; more"
    with pytest.raises(Refused):
        await slack.open_home(ana)
    with pytest.raises(Refused):
        await slack.shortcut(ana, None, "from_message")


async def test_forms_are_closed_messages_deleted_and_channels_left(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    act = (await slack.slash(ana, general, "/imagine", "--")).act
    await app.client.views_open(trigger_id=act.trigger, view=form() | {"notify_on_close": True})
    assert act.modal is not None
    await slack.close(ana, act.modal)
    assert app.bodies[-1]["type"] == "view_closed"
    with pytest.raises(Refused):
        await slack.submit(ana, act.modal, {"Prompt": "a"})
    message = await post_card(slack, app, general)
    with pytest.raises(Refused):
        slack.delete(ana, message)
    slack.delete(slack.user("Boss", admin=True), message)
    assert general.posted == []
    heard = len(app.bodies)
    slack.expel(general)
    await slack.mention(ana, general, "a cat")
    await slack.mention(ana, slack.conversation(ana), "a cat")
    await slack.posted(slack.conversation(ana), lambda m: m.buttons)
    assert [b["event"]["type"] for b in app.bodies[heard:]] == ["message"]


async def test_stacked_forms_lie_on_top_of_each_other_three_high(
    slack: FakeSlack, app: Demo, ana: User, general: Channel
) -> None:
    act = (await slack.slash(ana, general, "/imagine", "--")).act
    await app.client.views_open(trigger_id=act.trigger, view=form("Next", "stack"))
    assert act.modal is not None
    views = [act.modal]
    app.next = {"response_action": "push", "view": form("Next", "stack")}
    for _ in range(2):
        views.append((await slack.submit(ana, views[-1], {"Prompt": "a"})).modal)
    assert [v.previous for v in views] == [None, *views[:2]]
    with pytest.raises(Refused, match="on top"):
        await slack.submit(ana, views[0])
    fourth = await slack.submit(ana, views[-1], {"Prompt": "a"})
    assert (fourth.failed, fourth.has_modal) == (True, False)
    assert slack.violations.pop() == "view_submission: push_limit_reached"
    app.next = {"response_action": "clear"}
    await slack.submit(ana, views[-1])
    assert not any(v.is_open for v in views)


async def post_card(slack: FakeSlack, app: Demo, general: Channel) -> Message:
    answer = await app.client.chat_postMessage(channel=general.id, blocks=card(), text="done")
    return general.messages[answer["ts"]]

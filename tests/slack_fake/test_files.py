"""Files: three steps, processing, and who sees the picture."""

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.fakes.slack import Channel, FakeSlack, User, schema
from tests.slack_fake.demo import card, form, image, picture, upload


async def test_a_fresh_file_is_refused_until_it_has_been_processed(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    slack.processing = 60.0
    file = await upload(client, picture())
    assert (await client.files_info(file=file))["file"]["mimetype"] == ""
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=general.id, text="x", blocks=card(file))
    assert caught.value.response["errors"] == [
        "invalid slack file [json-pointer:/blocks/0/slack_file]"
    ]
    slack.clock.move(61)
    assert (await client.files_info(file=file))["file"]["mimetype"] == "image/png"
    await client.chat_postMessage(channel=general.id, text="x", blocks=card(file))
    assert general.id in (await client.files_info(file=file))["file"]["channels"]
    assert not slack.violations


async def test_only_a_post_shares_a_picture_and_an_edit_shows_a_broken_one(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    slack.processing = 0.0
    file = await upload(client, picture())
    message = (await client.chat_postMessage(channel=general.id, text="50 %"))["ts"]
    edited = await client.chat_update(
        channel=general.id, ts=message, text="done", blocks=card(file)
    )
    assert edited["ok"]
    (seen,) = slack.seen_by(ana, general)
    assert [p.broken for p in seen.pictures] == [True]
    assert seen.open_pictures == ()
    with pytest.raises(AssertionError, match="broken"):
        assert seen.pictures[0].data
    await client.chat_postMessage(channel=general.id, text="done", blocks=card(file))
    assert slack.seen_by(ana, general)[-1].open_pictures[0].data == picture()


@pytest.mark.parametrize(("kind", "broken"), [("JPEG", False), ("GIF", False), ("WEBP", True)])
async def test_webp_shows_broken(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel, kind: str, broken: bool
) -> None:
    slack.processing = 0.0
    file = await upload(client, picture(kind=kind), f"cat.{kind.lower()}")
    await client.chat_postMessage(channel=general.id, text="done", blocks=card(file))
    (seen,) = slack.seen_by(ana, general)
    assert [p.broken for p in seen.pictures] == [broken]
    assert len(slack.violations) == broken
    slack.violations.clear()


async def test_private_messages_and_forms_show_only_what_the_place_already_has(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    slack.processing = 0.0
    file = await upload(client, picture())
    await client.chat_postEphemeral(channel=general.id, user=ana.id, text="x", blocks=[image(file)])
    view = form() | {"blocks": [*form()["blocks"], image(file)]}
    act = slack.begin(ana, general)
    await client.views_open(trigger_id=act.trigger, view=view)
    assert act.modal is not None
    (private,) = slack.seen_by(ana, general)
    assert (private.private, private.pictures[0].broken) == (True, True)
    assert slack.pictures_of(act.modal)[0].broken
    await client.chat_postMessage(channel=general.id, text="x", blocks=[image(file)])
    assert not slack.seen_by(ana, general)[0].pictures[0].broken
    assert not slack.pictures_of(act.modal)[0].broken
    hidden = slack.channel("hidden", slack.user("Ben"), private=True)
    assert slack.seen_by(ana, hidden) == []


@pytest.mark.skipif(not schema.is_here(), reason=schema.MISSING)
async def test_blocks_that_were_read_back_cannot_be_sent_again(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    slack.processing = 0.0
    file = await upload(client, picture())
    await client.chat_postMessage(channel=general.id, text="x", blocks=card(file))
    history = await client.conversations_history(channel=general.id)
    blocks = history["messages"][0]["blocks"]
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=general.id, text="x", blocks=blocks)
    assert caught.value.response["error"] == "invalid_blocks"
    slack.violations.clear()


async def test_an_upload_into_a_channel_shows_at_once_unless_it_has_an_alt_text(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    await client.files_upload_v2(file=picture(), filename="a.png", channel=general.id)
    (seen,) = slack.seen_by(ana, general)
    assert seen.open_pictures[0].data == picture()
    await client.files_upload_v2(
        file=picture(), filename="b.png", channel=general.id, alt_txt="a cat"
    )
    assert len(slack.seen_by(ana, general)) == 1


async def test_a_deleted_file_leaves_every_message(
    slack: FakeSlack, client: AsyncWebClient, ana: User, general: Channel
) -> None:
    slack.processing = 0.0
    file = await upload(client, picture())
    await client.chat_postMessage(channel=general.id, text="x", blocks=card(file))
    await client.files_delete(file=file)
    (seen,) = slack.seen_by(ana, general)
    assert seen.pictures[0].broken
    assert slack.files_of(ana, general) == []
    for call in (client.files_info(file=file), client.files_delete(file=file)):
        with pytest.raises(SlackApiError):
            await call


async def test_uploads_that_are_cut_short_unknown_or_somebody_elses(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    slack.processing = 0.0
    asked = await client.files_getUploadURLExternal(filename="a.png", length=9)
    async with (
        aiohttp.ClientSession() as session,
        session.post(asked["upload_url"], data=b"12345") as answer,
    ):
        assert answer.status == 400
    assert slack.violations.pop() == "upload: 5 bytes came of 9 that were announced"
    with pytest.raises(SlackApiError) as caught:
        await client.files_completeUploadExternal(files=[{"id": asked["file_id"]}])
    assert caught.value.response["error"] == "file_not_found"
    away = slack.workspace("Away")
    theirs = AsyncWebClient(token=away.bot_token, base_url=slack.api_url)
    file = await upload(theirs, picture())
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel=general.id, text="x", blocks=card(file))
    assert "invalid slack file" in str(caught.value.response["errors"])


async def test_bytes_are_given_for_the_token_only(
    slack: FakeSlack, client: AsyncWebClient, general: Channel
) -> None:
    file = await upload(client, picture())
    url = (await client.files_info(file=file))["file"]["url_private"]
    async with aiohttp.ClientSession() as session:
        for token, expected in ((slack.bot_token, picture()), ("x", b"<html>Sign in</html>")):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(url, headers=headers) as answer:
                assert await answer.read() == expected


async def test_the_app_knows_a_persons_file_where_it_is_itself(
    slack: FakeSlack, client: AsyncWebClient, general: Channel, ana: User
) -> None:
    message = slack.attach(ana, general, "cat.png", picture(), "look")
    [file] = message.files
    about = (await client.files_info(file=file.id))["file"]
    assert (about["user"], about["mimetype"]) == (ana.id, "image/png")
    secret = slack.channel("secret", ana, private=True, has_bot=False)
    [hidden] = slack.attach(ana, secret, "cat.png", picture()).files
    with pytest.raises(SlackApiError) as caught:
        await client.files_info(file=hidden.id)
    assert caught.value.response["error"] == "file_not_found"
    slack.invite(secret)
    assert (await client.files_info(file=hidden.id))["ok"]

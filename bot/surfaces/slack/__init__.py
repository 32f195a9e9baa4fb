"""Slack, on slack_bolt: meaning lives in `bot.commands`, this folder translates."""

"""Discord as a surface: it translates; all meaning stays in `bot.commands` and the registry."""

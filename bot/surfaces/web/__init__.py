"""The playground: a page in the browser, served by the bot itself."""

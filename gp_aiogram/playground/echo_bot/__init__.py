"""The echo bot: an example, and the bot of the demo and the playground."""

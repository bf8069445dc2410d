"""Three bots, each written from README and docs alone."""

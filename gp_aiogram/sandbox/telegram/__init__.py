"""A stand-in for api.telegram.org, and the people who use it."""

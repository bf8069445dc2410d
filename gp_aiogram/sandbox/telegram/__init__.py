"""A stand-in for api.telegram.org, and its scripted users."""

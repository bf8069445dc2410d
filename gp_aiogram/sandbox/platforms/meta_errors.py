"""The error bodies of Meta's Graph API: some to fail with, and those of refused requests."""

from __future__ import annotations

from typing import Any

from gp_aiogram.sandbox.platforms.schema import DIGEST_WANTED, Flaw

Body = dict[str, Any]


def graph_error(code: int, message: str, *, kind: str = "OAuthException", **more: Any) -> Body:
    """Build an error body of the Graph API.

    :param code: the error code.
    :param message: the text for developers.
    :param kind: the ``type`` of the error.
    :param more: further members, such as ``error_subcode``.
    """
    error = {"message": message, "type": kind, "code": code, **more}
    return {"error": {**error, "fbtrace_id": "A0000000000000000000000"}}


#: The app calls too often; HTTP 400.
THROTTLED = graph_error(4, "(#4) Application request limit reached")
#: The ad account is called too often; HTTP 400 (Marketing API, "Rate limiting").
AD_ACCOUNT_THROTTLED = graph_error(
    80004, "There have been too many calls from this ad-account. Wait a bit and try again."
)
#: The token has expired; HTTP 400 or 401.
TOKEN_EXPIRED = graph_error(
    190, "Error validating access token: Session has expired.", error_subcode=463
)
#: The token cannot be read; seen with HTTP 500, although it is not an outage.
TOKEN_UNREADABLE = graph_error(190, "The access token could not be decrypted")
#: The token lacks a permission; seen with HTTP 500 as well.
NOT_PERMITTED = graph_error(
    3, "Some error in permission", kind="GraphMethodException", error_subcode=10
)
#: The service is down for a short time; HTTP 500 or 503.
TEMPORARY = graph_error(
    2, "An unexpected error has occurred. Please retry your request later.", is_transient=True
)
#: The dataset is not ready; HTTP 400, yet worth a retry.
NOT_READY = graph_error(21009, "(#21009) The data set upload is temporarily not ready.")

WRONG_TOKEN = graph_error(190, "Invalid OAuth access token - Cannot parse access token")
WRONG_PROOF = graph_error(
    100, "Invalid appsecret_proof provided in the API argument", kind="GraphMethodException"
)
NO_PROOF = graph_error(
    100,
    "API calls from the server require an appsecret_proof argument",
    kind="GraphMethodException",
)
WRONG_DATA = graph_error(100, "(#100) Param data must be an array of 1 to 1000 events")


def unknown_path(path: str) -> Body:
    """Build the body for an unknown path.

    :param path: the path.
    """
    return graph_error(2500, f"Unknown path components: {path}")


def unknown_object(method: str, object_id: str) -> Body:
    """Build the body for a pixel that this token cannot access, or an unsupported method.

    :param method: the HTTP method.
    :param object_id: the id in the path.
    """
    message = (
        f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not exist, "
        "cannot be loaded due to missing permissions, or does not support this operation."
    )
    return graph_error(100, message, kind="GraphMethodException", error_subcode=33)


def invalid(subcode: int, title: str, text: str) -> Body:
    """Build the body for a batch with an event that breaks a rule.

    :param subcode: the ``error_subcode`` of the rule.
    :param title: the ``error_user_title``.
    :param text: the ``error_user_msg``.
    """
    return graph_error(
        100,
        "Invalid parameter",
        error_subcode=subcode,
        is_transient=False,
        error_user_title=title,
        error_user_msg=text,
    )


def flawed(flaw: Flaw) -> Body:
    """Build the body for a field that is missing, unknown or wrong.

    The texts for missing and unknown fields and for unhashed user data are Meta's; "must be a
    valid" is this stand-in's own.

    :param flaw: the flaw, located in the request's body.
    """
    where = "$" + "".join(f"[{key!r}]" for key in flaw.path)
    if flaw.kind == "wrong" and flaw.wanted == DIGEST_WANTED:
        text = (
            f"The {flaw.path[3]} parameter isn’t hashed. Hash all user parameters as SHA256, "  # noqa: RUF001 - Meta's
            "except for client user agent, click ID, and browser ID. Any other user parameters "
            "that are not hashed are automatically rejected by Facebook."
        )
        return invalid(2804016, "User Parameter Not Hashed", text)
    if flaw.kind == "missing":
        text = f"The parameter {where} is required."
    elif flaw.kind == "unknown":
        parent = "$" + "".join(f"[{key!r}]" for key in flaw.path[:-1])
        text = f'Unexpected key "{flaw.path[-1]}" on param "{parent}".'
    else:
        text = f"The parameter {where} must be a valid {flaw.wanted}."
    return invalid(2804019, "Server-side API parameter error", text)

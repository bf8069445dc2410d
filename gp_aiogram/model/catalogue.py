"""What each ad platform calls our events; an event that is not listed keeps its name."""

from __future__ import annotations

from collections.abc import Mapping

#: Meta's standard events (Conversions API, "Standard Events").
META: Mapping[str, str] = {
    "FTD": "Purchase",
    "DEP": "Purchase",
    "Purchase": "Purchase",
    "REG": "CompleteRegistration",
    "Subscribe": "Lead",
    "JoinRequest": "Lead",
    "INSTALL": "AppInstall",
    "TRIAL": "StartTrial",
}

#: TikTok's standard events for ``event_source="web"``, under the names that every pixel knows.
TIKTOK_WEB: Mapping[str, str] = {
    "FTD": "CompletePayment",
    "DEP": "CompletePayment",
    "Purchase": "CompletePayment",
    "REG": "CompleteRegistration",
    "Subscribe": "SubmitForm",
    "JoinRequest": "SubmitForm",
    "INSTALL": "Download",
    "TRIAL": "Subscribe",
}

#: The same for ``event_source="app"``, which has another name for a registration.
TIKTOK_APP: Mapping[str, str] = {**TIKTOK_WEB, "REG": "Registration"}

#: The names that TikTok introduced on 2025-05-01, for ``event_names=``. TikTok still accepts the
#: older ones and converts them itself (help centre, "Standard events").
TIKTOK_2025: Mapping[str, str] = {
    "FTD": "Purchase",
    "DEP": "Purchase",
    "Purchase": "Purchase",
    "Subscribe": "Lead",
    "JoinRequest": "Lead",
}

#: Snapchat's standard events (Conversions API v3, "Parameters"), which are written in capitals.
SNAPCHAT: Mapping[str, str] = {
    "FTD": "PURCHASE",
    "DEP": "PURCHASE",
    "Purchase": "PURCHASE",
    "REG": "SIGN_UP",
    "Subscribe": "SUBSCRIBE",
    "JoinRequest": "SUBSCRIBE",
    "INSTALL": "APP_INSTALL",
    "TRIAL": "START_TRIAL",
}

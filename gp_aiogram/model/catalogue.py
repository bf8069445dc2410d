"""What each ad platform calls our events; a name that is not listed is sent as it is."""

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

#: The same for ``event_source="app"``, whose own name for a registration differs.
TIKTOK_APP: Mapping[str, str] = {**TIKTOK_WEB, "REG": "Registration"}

#: The names that TikTok introduced on 2025-05-01, to be given as ``event_names=``. The older ones
#: are still accepted and converted by TikTok itself (help centre, "Standard events").
TIKTOK_2025: Mapping[str, str] = {
    "FTD": "Purchase",
    "DEP": "Purchase",
    "Purchase": "Purchase",
    "Subscribe": "Lead",
    "JoinRequest": "Lead",
}

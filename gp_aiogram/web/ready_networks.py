"""How the postbacks of common networks and trackers read."""

from __future__ import annotations

from gp_aiogram.model.conversion import DEPOSIT, PAYMENTS, REJECTED
from gp_aiogram.web.network_checks import APPROVED, IGNORED
from gp_aiogram.web.networks import Network

#: Keitaro's own form (docs.keitaro.io, "Postback"), which many networks and trackers copy. Without
#: a status it is a sale; other words are declared by ``sale_status=`` and its like.
KEITARO = Network(
    name="keitaro",
    click_id=("subid", "sub_id"),
    status=("status",),
    statuses={"lead": "REG", "sale": DEPOSIT, "rebill": "DEP", "rejected": REJECTED},
    declared={
        "lead_status": "lead",
        "sale_status": "sale",
        "rebill_status": "rebill",
        "rejected_status": "rejected",
    },
    default_status="sale",
    transaction_id=("tid",),
    amount=("payout",),
)

#: kukuruku's form (docs.kukuruku.win). What it calls a conversion that is still checked, and
#: whether it sends a transaction id, is not documented: change it where yours is different.
KUKURUKU = Network(
    name="kukuruku",
    click_id=("click_id",),
    status=("goal_alias",),
    statuses={"ftd": "FTD", "rdep": "DEP", "revshare": "RevShare"},
    approval=("conv_status",),
    approvals={
        "approved": APPROVED,
        "rejected": REJECTED,
        **dict.fromkeys(("pending", "hold"), IGNORED),
    },
    transaction_id=("tid", "transaction_id", "conversion_id"),
    amount=("amount",),
    valued=PAYMENTS | {"RevShare"},
)

#: Words and parameters that are common with casino, betting and CPA networks. None of them is a
#: standard: compare them with what your network sends.
CPA = Network(
    name="cpa",
    click_id=("subid", "sub_id", "click_id", "clickid", "cid", "aff_sub"),
    status=("status", "goal_alias", "goal", "event", "type", "action"),
    statuses={
        **dict.fromkeys(("reg", "registration", "signup", "lead"), "REG"),
        **dict.fromkeys(("ftd", "first_dep", "first_deposit", "firstdep"), "FTD"),
        **dict.fromkeys(("dep", "deposit", "sale", "approved"), DEPOSIT),
        **dict.fromkeys(("rdep", "redep", "next_dep", "next_deposit", "rebill"), "DEP"),
        **dict.fromkeys(
            ("rejected", "reject", "declined", "canceled", "cancelled", "trash", "chargeback"),
            REJECTED,
        ),
        **dict.fromkeys(("pending", "hold"), IGNORED),
    },
    declared=KEITARO.declared,
    transaction_id=("tid", "txid", "transaction_id", "conversion_id"),
    amount=("amount", "sum", "revenue", "payout"),
)

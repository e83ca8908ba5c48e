"""Reasons: why a command leaves, in words, and the article of the GDPR that each stands on."""

from __future__ import annotations

from collections.abc import Mapping

PURPOSE_ENDED = "the purpose has ended"
LAST_PURPOSE_ENDED = "the last purpose has ended"
OTHER_PURPOSE_REMAINS = "a purpose has ended, another goes on"
ONLY_RESEARCH = "only research still needs it"
RELEASED = "the hold was released"
WITHDRAWN = "consent was withdrawn"
OBJECTED = "the person objected"
UPHELD = "the objection was upheld"
ERASURE_ASKED = "the person asked for erasure"
UNDECIDED = "the person objected, and it is not decided yet"
REJECTED = "the objection was rejected"
RESTRICTION_ASKED = "the person asked for restriction"
RESTRICTION_LIFTED = "the restriction was lifted"
ACCESS_ASKED = "the person asked for access"
PORTABILITY_ASKED = "the person asked for portability"
RECTIFICATION_ASKED = "the person asked for rectification"
POLICY_CHANGED = "what it waited for has changed"
STILL_PRESENT = "it was still there when it was read again"
RESTORED = "the system was restored from a backup"
CHECKS: Mapping[str, str] = {
    "erase": "what was erased is read again",
    "pseudonymise": "what was pseudonymised is read again",
}
"""By the action that is checked; other actions are not."""

ARTICLES: Mapping[str, str] = {
    PURPOSE_ENDED: "GDPR 5(1)(e), 17(1)(a)",
    LAST_PURPOSE_ENDED: "GDPR 5(1)(e), 17(1)(a)",
    OTHER_PURPOSE_REMAINS: "GDPR 5(1)(b), 18",
    ONLY_RESEARCH: "GDPR 5(1)(c), 89(1)",
    RELEASED: "GDPR 5(1)(e), 17(1)",
    WITHDRAWN: "GDPR 17(1)(b)",
    OBJECTED: "GDPR 17(1)(c), 21(3)",
    UPHELD: "GDPR 17(1)(c)",
    ERASURE_ASKED: "GDPR 17(1), 19",
    UNDECIDED: "GDPR 18(1)(d)",
    REJECTED: "GDPR 18(3), 19",
    RESTRICTION_ASKED: "GDPR 18(1), 19",
    RESTRICTION_LIFTED: "GDPR 18(3), 19",
    ACCESS_ASKED: "GDPR 15",
    PORTABILITY_ASKED: "GDPR 20",
    RECTIFICATION_ASKED: "GDPR 16, 19",
    POLICY_CHANGED: "GDPR 5(1)(d)",
    STILL_PRESENT: "GDPR 5(1)(e), 17(1)",
    RESTORED: "GDPR 5(1)(e), 17(1)",
    CHECKS["erase"]: "GDPR 5(2), 24(1)",
    CHECKS["pseudonymise"]: "GDPR 5(2), 24(1)",
}

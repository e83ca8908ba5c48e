"""The reasons why commands are sent, as texts for people, each with its articles of the GDPR."""

from __future__ import annotations

from collections.abc import Mapping

PURPOSE_ENDED = "the purpose has ended"
LAST_PURPOSE_ENDED = "the last purpose has ended"
OTHER_PURPOSE_REMAINS = "a purpose has ended, another goes on"
PURPOSE_RESUMED = "a purpose that had ended goes on"
ONLY_RESEARCH = "only research still needs it"
GOES_TO_ARCHIVE = "it is kept in an archive from now on"
END_ANNOUNCED = "the end of its term is near"
HOLD_RELEASED = "the hold was released"
CONSENT_WITHDRAWN = "consent was withdrawn"
OBJECTION_RAISED = "the person objected"
OBJECTION_UPHELD = "the objection was upheld"
ERASURE_REQUESTED = "the person asked for erasure"
OBJECTION_UNDECIDED = "the person objected, and it is not decided yet"
OBJECTION_REJECTED = "the objection was rejected"
RESTRICTION_REQUESTED = "the person asked for restriction"
RESTRICTION_LIFTED = "the restriction was lifted"
ACCESS_REQUESTED = "the person asked for access"
PORTABILITY_REQUESTED = "the person asked for portability"
RECTIFICATION_REQUESTED = "the person asked for rectification"
IN_TEST = "in test, not sent"
"""The beginning of the reason of a command that only a rule in test would require."""
POLICY_CHANGED = "what it waited for has changed"
STILL_PRESENT = "it was still there when it was read again"
BACKUP_RESTORED = "the system was restored from a backup"
BY_PERSON = frozenset(
    (CONSENT_WITHDRAWN, OBJECTION_RAISED, OBJECTION_UPHELD, ERASURE_REQUESTED, HOLD_RELEASED)
)
"""The reasons for erasures of all that one person has at once, whatever the terms."""
VERIFICATION_REASONS: Mapping[str, str] = {
    "erase": "what was erased is read again",
    "pseudonymise": "what was pseudonymised is read again",
}
"""The reason for a verification, by the action that is verified."""

ARTICLES: Mapping[str, str] = {
    PURPOSE_ENDED: "GDPR 5(1)(e), 17(1)(a)",
    LAST_PURPOSE_ENDED: "GDPR 5(1)(e), 17(1)(a)",
    OTHER_PURPOSE_REMAINS: "GDPR 5(1)(b), 18",
    PURPOSE_RESUMED: "GDPR 5(1)(b)",
    ONLY_RESEARCH: "GDPR 5(1)(c), 89(1)",
    GOES_TO_ARCHIVE: "GDPR 5(1)(e), 89(1)",
    END_ANNOUNCED: "GDPR 5(1)(a), 12(1)",
    HOLD_RELEASED: "GDPR 5(1)(e), 17(1)",
    CONSENT_WITHDRAWN: "GDPR 17(1)(b)",
    OBJECTION_RAISED: "GDPR 17(1)(c), 21(3)",
    OBJECTION_UPHELD: "GDPR 17(1)(c)",
    ERASURE_REQUESTED: "GDPR 17(1), 19",
    OBJECTION_UNDECIDED: "GDPR 18(1)(d)",
    OBJECTION_REJECTED: "GDPR 18(3), 19",
    RESTRICTION_REQUESTED: "GDPR 18(1), 19",
    RESTRICTION_LIFTED: "GDPR 18(3), 19",
    ACCESS_REQUESTED: "GDPR 15",
    PORTABILITY_REQUESTED: "GDPR 20",
    RECTIFICATION_REQUESTED: "GDPR 16, 19",
    POLICY_CHANGED: "GDPR 5(1)(d)",
    STILL_PRESENT: "GDPR 5(1)(e), 17(1)",
    BACKUP_RESTORED: "GDPR 5(1)(e), 17(1)",
    VERIFICATION_REASONS["erase"]: "GDPR 5(2), 24(1)",
    VERIFICATION_REASONS["pseudonymise"]: "GDPR 5(2), 24(1)",
}

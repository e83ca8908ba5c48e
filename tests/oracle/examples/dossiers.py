"""The files of requests, objections and complaints, and the proof of identity."""

from tests.oracle.examples.forms import Example, Leaves, Line, act, requested
from tests.oracle.examples.purchases import AT, CUSTOMER, LEGAL, RESEARCH, SERVICE


def dossier(id_: str, answered: str | None, erase_by: str | None, due: str | None) -> Line:
    state = "open" if answered is None else "scheduled"
    return Line(id_, LEGAL, "legal_obligation", "D8", answered, erase_by, due, state)


def proof(at: str) -> Line:
    return Line("p2", LEGAL, "legal_obligation", "D9", at, at, at, "ended")


def proof_leaves(at: str) -> Leaves:
    return Leaves(at, "crm mail", "erase", "p2", "D9", LEGAL, at)


DOSSIERS = (
    Example(
        name="a dossier is kept for five years after the answer, the proof of identity not at all",
        events=(
            *requested("access", "2024-02-01T10", AT, "visitor:9"),
            act("p3", "request-extended", "2024-02-20T10", "visitor:9", request_id="r1"),
            act("p4", "request-answered", "2024-03-01T10", "visitor:9", request_id="r1"),
            act(
                "p5",
                "request-received",
                "2024-02-01T10",
                "visitor:9",
                request_id="r2",
                right="erasure",
            ),
            act("p6", "request-refused", "2024-06-01T10", "visitor:9", request_id="r2"),
            act("p7", "complaint-received", "2024-02-01T10", "visitor:9", complaint_id="r1"),
            act("p8", "complaint-answered", "2024-03-02T10", "visitor:9", complaint_id="r1"),
            act("p9", "objection-raised", "2024-02-01T10", "visitor:9", purpose=LEGAL),
        ),
        explained=(
            dossier("p1", "2024-03-01T10", "2029-03-01T10", "2029-02-28T10"),
            proof(AT),
            dossier("p5", "2024-06-01T10", "2029-06-01T10", "2029-05-31T10"),
            dossier("p7", "2024-03-02T10", "2029-03-02T10", "2029-03-01T10"),
            dossier("p9", None, None, None),
        ),
        sent=(
            proof_leaves(AT),
            *(
                Leaves(AT, "crm", "disclose", id_, "D8", LEGAL, AT)
                for id_ in ("p1", "p5", "p7", "p9")
            ),
            Leaves("2029-02-28T10", "crm", "erase", "p1", "D8", LEGAL, "2029-03-01T10"),
            Leaves("2029-05-31T10", "crm", "erase", "p5", "D8", LEGAL, "2029-06-01T10"),
            Leaves("2029-03-01T10", "crm", "erase", "p7", "D8", LEGAL, "2029-03-02T10"),
        ),
    ),
    Example(
        name="a decision ends the dossier of the person's objection to that purpose alone",
        events=(
            act("p1", "objection-raised", "2024-02-01T10", CUSTOMER, purpose=SERVICE),
            act("p2", "objection-raised", "2024-02-01T10", CUSTOMER, purpose=RESEARCH),
            act(
                "p3",
                "objection-decided",
                "2024-03-01T10",
                CUSTOMER,
                purpose=SERVICE,
                outcome="rejected",
            ),
        ),
        explained=(
            dossier("p1", "2024-03-01T10", "2029-03-01T10", "2029-02-28T10"),
            dossier("p2", None, None, None),
        ),
        sent=(Leaves("2029-02-28T10", "crm", "erase", "p1", "D8", LEGAL, "2029-03-01T10"),),
    ),
)

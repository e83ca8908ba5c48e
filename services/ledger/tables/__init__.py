"""The tables of the ledger, a module for each concern.

Instants are UTC: `timestamptz` on PostgreSQL, integer microseconds since 1970 on SQLite, which has no
time zones. Ids are UUIDs derived from what they identify (`policy.ids`), so that writing twice is harmless.
"""

from __future__ import annotations

from services.ledger.tables.commands import acknowledgement as acknowledgement
from services.ledger.tables.commands import command as command
from services.ledger.tables.commands import command_clock as command_clock
from services.ledger.tables.commands import command_record as command_record
from services.ledger.tables.commands import member as member
from services.ledger.tables.commands import message as message
from services.ledger.tables.commands import wording as wording
from services.ledger.tables.evidence_log import evidence as evidence
from services.ledger.tables.evidence_log import evidence_chain as evidence_chain
from services.ledger.tables.evidence_log import evidence_head as evidence_head
from services.ledger.tables.facts import backfill as backfill
from services.ledger.tables.facts import clock as clock
from services.ledger.tables.facts import event as event
from services.ledger.tables.facts import hanging as hanging
from services.ledger.tables.facts import record as record
from services.ledger.tables.forecasts import claimed_obligation as claimed_obligation
from services.ledger.tables.forecasts import forecast as forecast
from services.ledger.tables.forecasts import forecast_line as forecast_line
from services.ledger.tables.forecasts import surge as surge
from services.ledger.tables.policies import active_policy as active_policy
from services.ledger.tables.policies import confirmation as confirmation
from services.ledger.tables.policies import scheduled_policy as scheduled_policy
from services.ledger.tables.purge import forgetting as forgetting
from services.ledger.tables.purge import forgetting_cursor as forgetting_cursor
from services.ledger.tables.purge import forgotten_event as forgotten_event
from services.ledger.tables.purge import remains as remains
from services.ledger.tables.requests import answer as answer
from services.ledger.tables.requests import correction as correction
from services.ledger.tables.requests import disclosure as disclosure
from services.ledger.tables.requests import request_key as request_key
from services.ledger.tables.subjects import act as act
from services.ledger.tables.subjects import claimant as claimant
from services.ledger.tables.subjects import identifier as identifier
from services.ledger.tables.subjects import key_conflict as key_conflict
from services.ledger.tables.subjects import provenance as provenance
from services.ledger.tables.subjects import subject as subject
from services.storage.tables import control as control
from services.storage.tables import dead_letter as dead_letter
from services.storage.tables import evidence_pending as evidence_pending
from services.storage.tables import gap as gap
from services.storage.tables import metadata as metadata
from services.storage.tables import operator_action as operator_action
from services.storage.tables import parked_event as parked_event
from services.storage.tables import position as position

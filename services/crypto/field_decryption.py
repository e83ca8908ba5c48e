"""Revealing: an event off the bus with its encrypted fields in clear again, as far as their keys live."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.crypto import field_tokens
from services.crypto.data_keys import DataKey
from services.crypto.field_paths import map_texts
from services.crypto.field_tokens import FieldKey, FieldLocation, TokenTampered


class ErasedValue:
    """What stands where a field was, once its last key is destroyed. It is false, and there is one."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ERASED"


ERASED: Final = ErasedValue()


class OpensKeys(Protocol):
    """The vault, as a reader needs it."""

    def keys(self, key_ids: Collection[str]) -> Mapping[str, tuple[str, DataKey]]:
        """The keys of these ids, each with its system; what never was is not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDecryptor:
    """Reads encrypted events; it needs no policy."""

    vault: OpensKeys

    def reveal(self, schema: str, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data with each token as its text, or as `ERASED` once its last key is destroyed.

        `schema` is the event's type, `subject` the message's key. What is no token stays as it is.

        Raises:
            TokenTampered: a token was altered, stood elsewhere, or names a key that never was.
            NoSuchMaster, Unopenable: the vault cannot open a key that lives.
        """
        named: dict[str, tuple[str, ...]] = {}

        def note(at: str, text: str) -> str:
            if field_tokens.is_token(text):
                named[at] = field_tokens.key_ids(text, at)
            return text

        map_texts(data, note)
        known = self.vault.keys({one for ids in named.values() for one in ids}) if named else {}

        def open_(at: str, text: str) -> str | ErasedValue:
            if at not in named:
                return text
            sealers = [
                FieldKey(
                    system=known[key_id][0], key_id=key_id, secret=known[key_id][1].secret or b""
                )
                for key_id in named[at]
                if key_id in known and known[key_id][1].secret is not None
            ]
            if not sealers and not known.keys() >= set(named[at]):
                raise TokenTampered(at, "names a key that there never was in this vault")
            if not sealers:
                return ERASED
            place = FieldLocation(schema=schema, path=at, subject=subject)
            return field_tokens.decrypt_token(text, place, sealers)

        found: dict[str, Any] = map_texts(data, open_)
        return found

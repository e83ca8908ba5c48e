"""Field decryption: an event from Kafka with its encrypted fields decrypted, as far as their keys exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.crypto import field_tokens
from services.crypto.data_keys import DataKeyStore
from services.crypto.field_paths import map_texts
from services.crypto.field_tokens import FieldKey, FieldLocation, TokenTampered


class ErasedValue:
    """The value of a field whose last key is destroyed: false, and a singleton (`ERASED`)."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "ERASED"


ERASED: Final = ErasedValue()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDecryptor:
    """Decrypts the fields of events; it needs no policy."""

    vault: DataKeyStore

    def decrypt(self, schema: str, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the data with each token decrypted, or `ERASED` once its last key is destroyed.

        `schema` is the event's type, `subject` the message's key. Values that are not tokens stay.

        Raises:
            TokenTampered: a token was altered, moved, or names a key that never existed.
            MasterKeyNotFound, DecryptionFailed: the vault cannot decrypt a key that is not destroyed.
        """
        key_ids_by_path: dict[str, tuple[str, ...]] = {}

        def collect_token(at: str, text: str) -> str:
            if field_tokens.is_token(text):
                key_ids_by_path[at] = field_tokens.key_ids(text, at)
            return text

        map_texts(data, collect_token)
        keys = (
            self.vault.get({key_id for ids in key_ids_by_path.values() for key_id in ids})
            if key_ids_by_path
            else {}
        )

        def decrypt_text(at: str, text: str) -> str | ErasedValue:
            if at not in key_ids_by_path:
                return text
            field_keys = [
                FieldKey(
                    system=keys[key_id][0], key_id=key_id, secret=keys[key_id][1].secret or b""
                )
                for key_id in key_ids_by_path[at]
                if key_id in keys and keys[key_id][1].secret is not None
            ]
            if not field_keys and not keys.keys() >= set(key_ids_by_path[at]):
                raise TokenTampered(at, "names a key that was never in this vault")
            if not field_keys:
                return ERASED
            location = FieldLocation(schema=schema, path=at, subject=subject)
            return field_tokens.decrypt_token(text, location, field_keys)

        decrypted: dict[str, Any] = map_texts(data, decrypt_text)
        return decrypted

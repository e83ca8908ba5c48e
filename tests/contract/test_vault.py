"""The vault's keys, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.crypto.data_keys import DataKeyStore
from services.crypto.envelope import InvalidKeyFile
from services.crypto.field_decryption import ERASED
from services.crypto.master_keys import FileMasterKeys, MasterKeyNotFound, NoMasterKey, WrappedKey
from services.crypto.rotation import MasterKeyInUse, destroy, master_key_statuses, rotate
from services.crypto.shredding import ShredResult
from services.policy.ids import event_id, old_event_id
from tests.unit.crypto.stage import NOW, Vault, a_vault, order

FIRST, SECOND = UUID(int=1), UUID(int=2)
ORDER = event_id("orders.order-placed", "/orders", "order-O1")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Vault]:
    """An empty vault, once on each database."""
    url = f"sqlite:///{tmp_path / 'vault.sqlite'}"
    if request.param == "postgres":
        fresh: Callable[[], str] = request.getfixturevalue("postgres")
        url = fresh()
    with a_vault(tmp_path, url) as vault:
        yield vault


def secret(vault: Vault, event: UUID, system: str = "bus") -> bytes | None:
    """Return the key of an event in a system; make it if there is none."""
    return vault.keys.get_or_create([(event, system)], NOW)[event, system].secret


def test_a_key_is_made_once_and_stays(vault: Vault) -> None:
    """Each event and system has a key of its own."""
    pairs = [(FIRST, "bus"), (FIRST, "bus-books"), (SECOND, "bus")]
    data_keys = vault.keys.get_or_create(pairs, NOW)
    assert vault.keys.get_or_create(pairs[:1], NOW) == {pairs[0]: data_keys[pairs[0]]}
    assert len({data_key.secret for data_key in data_keys.values()}) == 3
    assert all(len(data_key.secret or b"") == 32 for data_key in data_keys.values())
    key = data_keys[pairs[0]]
    assert vault.keys.get([key.key_id, "never"]) == {key.key_id: ("bus", key)}


def test_a_destroyed_key_is_gone_and_the_others_are_not(vault: Vault) -> None:
    """Destroying it twice has the same result."""
    other, books = secret(vault, SECOND), secret(vault, FIRST, "bus-books")
    key = vault.keys.get_or_create([(FIRST, "bus")], NOW)[FIRST, "bus"]
    first = vault.shredder.destroy([FIRST], "bus", NOW)
    assert first == ShredResult(destroyed=1, already_destroyed=0, never_existed=0)
    assert vault.shredder.destroy([FIRST], "bus", NOW) == ShredResult(
        destroyed=0, already_destroyed=1, never_existed=0
    )
    assert vault.keys.get([key.key_id])[key.key_id][1].secret is None
    assert secret(vault, FIRST) is None
    assert (secret(vault, SECOND), secret(vault, FIRST, "bus-books")) == (other, books)
    assert [vault.shredder.count_active([FIRST, SECOND], aud) for aud in ("bus", "bus-books")] == [
        1,
        1,
    ]


def test_a_key_destroyed_before_it_was_made_is_never_made(vault: Vault) -> None:
    """A publisher may be late."""
    assert vault.shredder.destroy([FIRST], "bus", NOW) == ShredResult(
        destroyed=0, already_destroyed=0, never_existed=1
    )
    assert secret(vault, FIRST) is None


def test_publishers_and_the_shredder_at_once_leave_no_key(vault: Vault) -> None:
    """Whichever is first, afterwards the keys are destroyed for every reader."""
    events = [UUID(int=n) for n in range(1, 40)]
    with ThreadPoolExecutor(4) as pool:
        making = [pool.submit(vault.keys.get_or_create, [(event, "bus")], NOW) for event in events]
        destroying = [pool.submit(vault.shredder.destroy, [event], "bus", NOW) for event in events]
        assert sum(future.result().already_destroyed for future in destroying) == 0
        for each in making:
            each.result()
    assert vault.shredder.count_active(events, "bus") == 0


def test_two_publishers_of_one_event_get_one_key(vault: Vault) -> None:
    """A message of either can be read by the readers of both."""
    with ThreadPoolExecutor(4) as pool:
        secrets = list(pool.map(lambda _: secret(vault, FIRST), range(8)))
    assert len(set(secrets)) == 1


def test_a_rotation_wraps_existing_keys_again_and_not_shredded_ones(vault: Vault) -> None:
    """Messages from before and after it stay readable, and destroyed keys stay destroyed."""
    before = vault.encrypted(order("O1")), vault.encrypted(order("O2"))
    vault.shredder.destroy([ORDER], "bus", NOW)
    old = vault.masters.current()
    version, wrapped = rotate(vault.keys, vault.masters)
    assert (version.number, wrapped) == (2, 3)
    assert [status.keys for status in master_key_statuses(vault.keys, vault.masters)] == [0, 3]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert [status.version.master for status in destroy(vault.keys, vault.masters, old, later)] == [
        version.master
    ]
    assert vault.reveal(before[0])["consumer_name"] is ERASED
    assert vault.reveal(before[0])["amount"] == "12.50 canary-amount-O1"
    assert vault.reveal(before[1]) == order("O2").data
    assert vault.reveal(vault.encrypted(order("O3"))) == order("O3").data


def test_a_master_key_that_may_still_wrap_is_not_destroyed(vault: Vault) -> None:
    """The current master key, and one that is not configured, are not destroyed either."""
    secret(vault, FIRST)
    old = vault.masters.current()
    now = datetime.now(UTC)
    with pytest.raises(MasterKeyInUse, match="is the current one"):
        destroy(vault.keys, vault.masters, old, now)
    rotate(vault.keys, vault.masters)
    with pytest.raises(MasterKeyInUse, match="publishers may still use it"):
        destroy(vault.keys, vault.masters, old, datetime.now(UTC))
    with pytest.raises(MasterKeyInUse, match="is not in the directory"):
        destroy(vault.keys, vault.masters, "0" * 16, now)
    assert len(vault.masters.list_versions()) == 2


def test_a_key_that_was_wrapped_late_survives_the_old_master_key(vault: Vault) -> None:
    """A publisher that had not reloaded wraps under the old one, after all others are wrapped again."""
    old = vault.masters.list_versions() or [vault.masters.add()]
    late = FileMasterKeys(directory=vault.masters.directory)
    rotate(vault.keys, vault.masters)
    newest = vault.masters.list_versions()[-1]
    newest.path.rename(newest.path.with_suffix(".away"))
    data_key = vault.keys.get_or_create([(FIRST, "bus")], NOW)[FIRST, "bus"]
    assert late.current() == old[0].master
    newest.path.with_suffix(".away").rename(newest.path)
    destroy(vault.keys, vault.masters, old[0].master, datetime.now(UTC) + timedelta(hours=1))
    assert secret(vault, FIRST) == data_key.secret


def test_a_key_moved_to_another_row_is_not_decrypted(vault: Vault) -> None:
    """A writer of the vault cannot replace a destroyed key by a living one."""
    keys = vault.keys.get_or_create([(FIRST, "bus"), (SECOND, "bus")], NOW)
    with vault.keys.database.transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE data_key SET wrapped = (SELECT wrapped FROM data_key WHERE key_id ="
            f" '{keys[FIRST, 'bus'].key_id}') WHERE key_id = '{keys[SECOND, 'bus'].key_id}'"
        )
    with pytest.raises(Exception, match="cannot be decrypted"):
        secret(vault, SECOND)


def test_the_sqlite_file_no_longer_has_what_was_destroyed(tmp_path: Path) -> None:
    """Its free pages and its write-ahead log do not contain the key either."""
    path = tmp_path / "vault.sqlite"
    with a_vault(tmp_path, f"sqlite:///{path}") as vault:
        events = [UUID(int=n) for n in range(300)]
        vault.keys.get_or_create([(event_id, "bus") for event_id in events], NOW)
        with closing(sqlite3.connect(path)) as connection:
            wrapped = connection.execute("SELECT wrapped FROM data_key").fetchall()
        for event in events:
            vault.shredder.destroy([event], "bus", NOW)
        content = b"".join(file.read_bytes() for file in tmp_path.glob("vault.sqlite*"))
    assert [key for (key,) in wrapped if key in content] == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from(["bus", "bus-books"]))))
def test_exactly_the_named_keys_are_destroyed(gone: list[tuple[str, str]]) -> None:
    """In whatever order keys are destroyed, every other key can be opened as before."""
    with a_vault(FIXED) as vault:
        sealed = {name: vault.encrypted(order(name)) for name in "ABC"}
        for name, system in gone:
            vault.shredder.destroy(
                [event_id("orders.order-placed", "/orders", f"order-{name}")], system, NOW
            )
        for name, event in sealed.items():
            revealed, clear = vault.reveal(event), order(name).data
            bus, books = (name, "bus") in gone, (name, "bus-books") in gone
            assert revealed["consumer_name"] == (ERASED if bus else clear["consumer_name"])
            assert revealed["amount"] == (ERASED if books else clear["amount"])
            shared = revealed["payment"]["transaction_id"]
            both = bus and books
            assert shared == (ERASED if both else clear["payment"]["transaction_id"])


@pytest.fixture(autouse=True, scope="module")
def _fixed(tmp_path_factory: pytest.TempPathFactory) -> None:
    global FIXED  # noqa: PLW0603  # hypothesis runs many examples, all with the same master key
    FIXED = tmp_path_factory.mktemp("masters")


FIXED = Path()


def test_without_a_master_key_nothing_is_encrypted(tmp_path: Path) -> None:
    """In production a directory that is not mounted must not lead to a new key."""
    bare = FileMasterKeys(directory=tmp_path)
    with pytest.raises(NoMasterKey, match="has no master key"):
        bare.wrap(b"", "place")


def test_a_master_key_that_is_open_to_everybody_is_refused(tmp_path: Path) -> None:
    """The file's mode decides."""
    version = FileMasterKeys(directory=tmp_path).add()
    assert version.path.stat().st_mode & 0o777 == 0o600
    version.path.chmod(0o644)
    with pytest.raises(InvalidKeyFile, match="every user of this machine"):
        FileMasterKeys(directory=tmp_path).current()


def test_a_key_whose_master_is_destroyed_is_an_error_of_its_own(vault: Vault) -> None:
    """A restored old vault must not report `erased` for keys that were never shredded in it."""
    sealed = vault.encrypted(order())
    [generation] = vault.masters.list_versions()
    vault.masters.destroy(generation)
    vault.masters.add()
    assert not generation.path.exists() or generation.path.read_bytes()
    with pytest.raises(MasterKeyNotFound, match=generation.master):
        vault.reveal(sealed)


class Kms:
    """A key management service: it wraps and unwraps keys, and never reveals the master key."""

    def __init__(self) -> None:
        self._kept: dict[bytes, tuple[bytes, str]] = {}

    def current(self) -> str:
        return "arn:kms/1"

    def wrap(self, secret: bytes, place: str) -> WrappedKey:
        sealed = len(self._kept).to_bytes(4, "big")
        self._kept[sealed] = (secret, place)
        return WrappedKey(master="arn:kms/1", sealed=sealed)

    def unwrap(self, wrapped: WrappedKey, place: str) -> bytes:
        secret, bound = self._kept[wrapped.sealed]
        assert (wrapped.master, place) == ("arn:kms/1", bound)
        return secret


def test_a_kms_takes_the_place_of_the_files(vault: Vault) -> None:
    """The vault only asks it to wrap and to unwrap keys."""
    keys = DataKeyStore(vault.keys.database, Kms())
    data_key = keys.get_or_create([(FIRST, "bus")], NOW)[FIRST, "bus"]
    assert keys.get([data_key.key_id])[data_key.key_id] == ("bus", data_key)
    assert keys.rewrap_chunk() == 0
    vault.shredder.destroy([FIRST], "bus", NOW)
    assert keys.get([data_key.key_id])[data_key.key_id][1].secret is None


def test_an_older_key_is_found_under_its_older_identity(vault: Vault) -> None:
    """An event published before identities counted per topic keeps its old key, and is shredded."""
    old = old_event_id("/orders", "order-O1")
    data_keys = vault.keys.get_or_create([(old, "bus"), (old, "bus-books")], NOW)
    vault.encrypted(order("O1"))
    assert vault.keys.get_or_create([(old, "bus")], NOW) == {(old, "bus"): data_keys[old, "bus"]}
    assert len(vault.keys.active_keys(None, NOW + timedelta(days=1), 9)) == 2


def test_another_topic_of_one_identity_has_a_key_of_its_own(vault: Vault) -> None:
    """Shredding one event must not shred the other."""
    vault.encrypted(order("O1"))
    other = event_id("website.feedback-given", "/orders", "order-O1")
    assert vault.shredder.destroy([other], "bus", NOW) == ShredResult(
        destroyed=0, already_destroyed=0, never_existed=1
    )
    assert vault.shredder.count_active([ORDER], "bus") == 1

"""What the ports of these tests stand on: the store of one machine, and items."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from aws_stack import make_table
from harness import Clock
from memory_items import MemoryItems
from ministack import Emulator

from functions.adapters.aws.client import Aws
from functions.adapters.aws.items import DynamoItems
from functions.adapters.items import keys
from functions.adapters.items.catalog import ItemCatalog
from functions.adapters.items.effects import ItemEffects
from functions.adapters.items.ledger import ItemLedger
from functions.adapters.items.requests import Opened, write
from functions.adapters.items.vault import ItemVault
from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.effects import LocalEffects
from functions.adapters.local.ledger import LocalLedger
from functions.adapters.local.rights import LocalRights
from functions.adapters.local.store import Store
from functions.adapters.local.vault import LocalVault
from functions.ports.catalog import Carrier, Catalog
from functions.ports.effects import Effects
from functions.ports.items import Items
from functions.ports.ledger import Ledger
from functions.ports.personal import Vault

_REQUEST = (
    "INSERT OR IGNORE INTO request (tenant, request, conversation, workflow, status, accepted, deadline, envelope)"
    " VALUES (?, ?, ?, 'answer', 'running', 0, 0, '')"
)


class Stack(Protocol):
    """Makes the ports anew at each call, as each process and each function does."""

    clock: Clock

    def catalog(self, place: str = "here", *, carries: Sequence[str] = ()) -> Catalog: ...

    def ledger(self, corpus: str = "corpus") -> Ledger: ...

    def effects(self, tenant: str = "t") -> Effects: ...

    def vault(self) -> Vault: ...

    def accept(self, request: str, conversation: str = "c1", tenant: str = "t") -> None: ...

    def erase(self, request: str, tenant: str = "t") -> None: ...

    def restart(self) -> None: ...


class LocalStack:
    """One machine."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.folder = folder
        self.store = Store(folder)

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.folder)

    def catalog(self, place: str = "here", *, carries: Sequence[str] = ()) -> LocalCatalog:
        made = LocalCatalog(self.store, place)
        if carries:
            made.carry(carries)
        return made

    def ledger(self, corpus: str = "corpus") -> LocalLedger:
        return LocalLedger(self.store, corpus)

    def effects(self, tenant: str = "t") -> LocalEffects:
        return LocalEffects(self.store, self.clock, tenant=tenant)

    def vault(self) -> LocalVault:
        return LocalVault(self.store)

    def accept(self, request: str, conversation: str = "c1", tenant: str = "t") -> None:
        self.store.write(lambda connection: connection.execute(_REQUEST, (tenant, request, conversation)).rowcount)

    def erase(self, request: str, tenant: str = "t") -> None:
        query = "SELECT conversation FROM request WHERE tenant = ? AND request = ?"
        ((conversation,),) = self.store.read(query, (tenant, request))
        LocalRights(self.store, LocalBlobs(self.folder / "blobs"), self.clock).erase(conversation, tenant=tenant)

    def close(self) -> None:
        self.store.close()


class ItemStack:
    """A cloud."""

    def __init__(self, items: Items, clock: Clock) -> None:
        self.clock = clock
        self.items = items

    def catalog(self, place: str = "here", *, carries: Sequence[str] = ()) -> ItemCatalog:
        carrier = Carrier(name="function 1", encoders=frozenset(carries)) if carries else None
        return ItemCatalog(self.items, place, self.clock, carrier)

    def ledger(self, corpus: str = "corpus") -> ItemLedger:
        return ItemLedger(self.items, keys.documents("documents", corpus))

    def effects(self, tenant: str = "t") -> ItemEffects:
        return ItemEffects(self.items, self.clock, tenant=tenant)

    def vault(self) -> ItemVault:
        return ItemVault(self.items)

    def accept(self, request: str, conversation: str = "c1", tenant: str = "t") -> None:
        now = self.clock()
        opened = Opened(
            tenant=tenant,
            request=request,
            conversation=conversation,
            workflow="answer",
            deadline=now + timedelta(seconds=60),
            origin="",
            accepted=now,
            status="running",
        )
        write(self.items, opened, 0, now)

    def restart(self) -> None:
        """A function keeps nothing."""

    def close(self) -> None:
        """Nothing is held."""

    def erase(self, request: str, tenant: str = "t") -> None:
        self.items.delete([keys.request(tenant, request)])


def dynamo_stack(emulator: Emulator, clock: Clock) -> Iterator[ItemStack]:
    """Items in a table of an emulator, each time a new one."""
    table = f"table-{uuid.uuid4().hex}"
    make_table(emulator, table)
    with closing(Aws(emulator.environment)) as aws:
        yield ItemStack(DynamoItems(aws, table, clock), clock)


def memory_stack() -> ItemStack:
    """Items in memory."""
    return ItemStack(MemoryItems(), Clock())

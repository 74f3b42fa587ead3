"""The folder in which one machine keeps everything, opened whole: store, encoder, collections, documents."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextlib import closing as closed_with
from functools import partial
from pathlib import Path

import msgspec

from functions.adapters.actions.settings import Action, action_settings
from functions.adapters.encoders.registry import registered
from functions.adapters.local.ledger import LocalLedger
from functions.adapters.local.members import LockedError, locked
from functions.adapters.local.store import Store
from functions.adapters.models.bound import Chat
from functions.adapters.models.breaker import Breaker
from functions.adapters.models.settings import ModelSettings, model_settings
from functions.adapters.personal_settings import personal_settings
from functions.adapters.vectors.settings import vector_settings
from functions.documents.document import Document
from functions.documents.folder import open_folder
from functions.documents.python_docs import python_documents
from functions.documents.sync import Progress, Report, sync
from functions.errors import TroupeError
from functions.events.common import Passage
from functions.events.envelope import digest
from functions.workflows.catalog import WORKFLOWS
from local.personal import opened_tokenizer
from local.process import LocalProcess
from local.shelf import Shelf
from local.uploads import upload_ledger

TENANT = "default"
PYTHON = "python"  # the corpus that is always there


class Corpus(msgspec.Struct, frozen=True, kw_only=True):
    """The documents that questions are answered from.

    Attributes:
        name: Of its collection.
        title: For a person.
        documents: What it holds.
        ignored: How many files are of formats that are not read.
    """

    name: str
    title: str
    documents: Sequence[Document]
    ignored: int = 0


class Workspace:
    """What `workspace` opened; it closes everything when its `with` statement ends."""

    def __init__(
        self,
        store: Store,
        corpus: Corpus,
        shelf: Shelf,
        chat: Chat | None,
        actions: Mapping[str, Action],
    ) -> None:
        self._store = store
        self._chat = chat
        self._actions = actions
        self.corpus = corpus
        self.shelf = shelf
        self.documents = shelf.open(corpus.name)
        self._memories = shelf.open("memories")
        self._ledger = LocalLedger(store, f"{self.documents.key}#{TENANT}")

    def read_documents(self, progress: Progress) -> Report:
        """Bring the collection in line with the documents; what was read before and did not change is not read."""
        sent = upload_ledger(self._store, self.documents, TENANT)
        documents = self.corpus.documents
        return sync(documents, self.documents, self._ledger, tenant=TENANT, progress=progress, beside=[sent])

    def search(self, text: str, *, limit: int) -> Sequence[Passage]:
        """The passages nearest to a text, with originals in the place of their tokens, as answers show them."""
        found, reveal = self.documents.search(text, limit=limit, tenant=TENANT), self.shelf.reveal(TENANT)
        if reveal is None:
            return found
        shown = reveal.revealed
        return [
            msgspec.structs.replace(each, name=shown(each.name), source=shown(each.source), text=shown(each.text))
            for each in found
        ]

    def process(self) -> LocalProcess:
        """A process over this workspace that runs every workflow."""
        collections = {"documents": self.documents, "memories": self._memories}
        return LocalProcess(
            self._store, WORKFLOWS, collections, shelf=self.shelf, chat=self._chat, actions=self._actions
        )


def home_folder() -> Path:
    """Where everything is kept: `TROUPE_HOME`, or `.troupe` in the current folder."""
    return Path(os.environ.get("TROUPE_HOME") or ".troupe")


@contextmanager
def workspace(home: Path, docs: str | None) -> Iterator[Workspace]:
    """Open the workspace in a folder, for the user's documents or for those of the standard library.

    Raises:
        ActionSettingsError: The environment names a file of actions that cannot be used.
        ModelSettingsError: The environment asks for a model that cannot be used.
        PersonalDataError: Personal data is to be taken out of texts, and cannot be: its key is missing.
        StoreError: The store is damaged, or of a newer version.
        VectorSettingsError: The environment names a vector store that cannot be used.
        TroupeError: Another process uses the folder, it cannot be made or written, the documents folder cannot be
            read, or the encoder cannot be built.
    """
    _check_settings(home, os.environ)
    model, actions = model_settings(os.environ), action_settings(os.environ)
    personal, vectors = personal_settings(os.environ), vector_settings(os.environ)
    with ExitStack() as closing:
        corpus = _folder_corpus(docs, closing) if docs else _python_corpus()
        store = _store(home, closing)
        tokenizer = opened_tokenizer(personal, store)
        encoders = closing.enter_context(closed_with(registered(home, os.environ)))
        shelf = closing.enter_context(
            closed_with(Shelf(store, encoders, encoders.carried[0], personal=tokenizer, vectors=vectors))
        )
        yield Workspace(store, corpus, shelf, _chat(model, closing), actions)


def _check_settings(home: Path, environment: Mapping[str, str]) -> None:
    """Raise what is wrong with the settings: all of it, of whatever they are about."""
    problems = list[TroupeError]()
    for read in (model_settings, action_settings, personal_settings, vector_settings, partial(registered, home)):
        try:
            read(environment)
        except TroupeError as error:
            problems.append(error)
    if len(problems) > 1:
        raise TroupeError("\n".join(map(str, problems)))
    if problems:
        raise problems[0]


def _chat(model: ModelSettings | None, closing: ExitStack) -> Chat | None:
    if model is None:
        return None
    from functions.adapters.models.openai_compatible import OpenAICompatible  # noqa: PLC0415 - slow, and not for all

    return Breaker(closing.enter_context(closed_with(OpenAICompatible(model))))


def _store(home: Path, closing: ExitStack) -> Store:
    """A store may be shared, but the collections beside it are one process's at a time."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        closing.enter_context(locked(home / "workspace.lock"))
        store = Store(home)
    except LockedError as error:
        raise TroupeError(
            f"{home} is in use by process {error}: stop that one, ask it with `--url`, or name another folder in "
            "TROUPE_HOME"
        ) from error
    except OSError as error:
        raise TroupeError(
            f"{home} cannot be used to keep things in ({error.strerror or error}): name another folder in TROUPE_HOME"
        ) from error
    closing.callback(store.close)
    return store


def _python_corpus() -> Corpus:
    return Corpus(name=PYTHON, title="the Python standard library", documents=python_documents())


def _folder_corpus(docs: str, closing: ExitStack) -> Corpus:
    folder = closing.enter_context(open_folder(docs))
    path = os.fsencode(folder.path)  # a path need not be valid Unicode
    name = f"folder-{digest(path)[:12]}"
    return Corpus(name=name, title=path.decode(errors="replace"), documents=folder.documents, ignored=folder.ignored)

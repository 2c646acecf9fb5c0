"""Opens what identifies languages; a model of fastText comes from the hub or from a folder, as other models do."""

from typing import assert_never

from refuseu.store.revisions import hub_commit
from refuseu.store.rows import Store
from refuseu.text.identification import FastText, Identification, Identifier, Py3langid
from refuseu.weights.hub import fetched_file
from refuseu.weights.identity import file_hash


def open_identifier(
    settings: Identification, languages: list[str], store: Store, identities: dict[str, str]
) -> Identifier:
    """The identifier of the profile, among ``languages``; what a model is goes into ``identities``, which metrics show.

    Raises:
        UserError: when package or file are missing, when the hub cannot be reached, and for a language that it does not know.
    """
    match settings:
        case Py3langid():
            return Identifier(languages)
        case FastText():
            if settings.folder:
                settings.assert_file()
                path = settings.folder / settings.file
                identifier = Identifier(languages, path)
                identities["identifier"] = f"{settings.file}@{file_hash(path)}"
                return identifier
            commit = hub_commit(settings.repo, settings.revision, store)
            identities["identifier"] = f"{settings.repo}@{commit}"
            return Identifier(languages, fetched_file(settings.repo, commit, settings.file))
        case unknown:
            assert_never(unknown)

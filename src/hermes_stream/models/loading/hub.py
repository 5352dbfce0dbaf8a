"""From a hub name to a folder of the local hub cache.

What the hub cannot give within seconds is an error that says so; what is in the cache needs no hub. The small
files are fetched first, so that a model that cannot be used is refused before its weights are downloaded.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hermes_stream.errors import ModelError
from hermes_stream.models.loading.messages import first_line
from hermes_stream.models.loading.progress import OnProgress, download_bar
from hermes_stream.models.loading.weight_files import INDEX_FILE, WEIGHTS_FILE, names_in_index

_SETTINGS_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
_REQUEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A hub and the local cache of it.

    Attributes:
        offline: take what is in the cache, and send no request.
        endpoint: address of the hub; None takes the one that huggingface_hub is set to.
        cache_folder: the local hub cache; None takes the one that huggingface_hub is set to.
        answer_seconds: how long the hub may take to answer at all.
    """

    offline: bool = False
    endpoint: str | None = None
    cache_folder: Path | None = None
    answer_seconds: float = 8.0

    def look_up(self, name: str, revision: str | None) -> HubModel:
        """Ask the hub for a model, for a few seconds at most.

        Raises:
            ModelError: the hub answers that there is no such model or revision.
        """
        if self.offline:
            return HubModel(name=name, revision=revision, hub=self)
        try:
            listing = self._ask(name, revision)
        except HFValidationError as error:
            raise ModelError(f"{name!r} is no hub name: {first_line(error)}") from error
        except GatedRepoError as error:
            raise _gated(name) from error
        except RevisionNotFoundError as error:
            raise ModelError(f"model {name!r} has no revision {revision!r} on the hub") from error
        except RepositoryNotFoundError as error:
            raise ModelError(
                f"the hub has no model {name!r}, or it is private; check the name, or log in with "
                "'hf auth login'"
            ) from error
        except Exception as error:  # no network, a proxy, a hub that is down: many kinds
            return HubModel(name=name, revision=revision, hub=self, unreachable=first_line(error))
        sizes = {file.rfilename: int(file.size or 0) for file in listing.siblings or ()}
        return HubModel(name=name, revision=revision, hub=self, file_bytes=sizes)

    def _ask(self, name: str, revision: str | None) -> Any:
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                api = HfApi(endpoint=self.endpoint)
                answers.put(
                    api.model_info(name, revision=revision, files_metadata=True, timeout=_REQUEST_SECONDS)
                )
            except Exception as error:
                answers.put(error)

        # In a thread of its own: looking up an address has no time limit that could be set.
        threading.Thread(target=ask, name="hub", daemon=True).start()
        try:
            answer = answers.get(timeout=self.answer_seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {self.answer_seconds:g} seconds") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """A model on the hub, or of the cache where the hub is not asked or does not answer.

    Attributes:
        name: such as ``llava-hf/llava-onevision-qwen2-0.5b-ov-hf``.
        revision: branch, tag or commit; None is the main branch.
        hub: where it comes from.
        file_bytes: size of each file as the hub lists it; None without a listing.
        unreachable: why the hub gave no listing; None if it did, or was not asked.
    """

    name: str
    revision: str | None
    hub: Hub
    file_bytes: Mapping[str, int] | None = None
    unreachable: str | None = None

    def fetch_settings(self) -> Path:
        """Fetch all files but the weights and return their folder.

        Raises:
            ModelError: they are neither on the hub nor in the cache.
        """
        return self._fetch(_SETTINGS_FILES, None)

    def weight_bytes(self, folder: Path) -> int | None:
        """Return the bytes of the weight files; None without a listing.

        Args:
            folder: what ``fetch_settings`` returned.
        """
        sizes = self.file_bytes
        return None if sizes is None else sum(sizes.get(name, 0) for name in self._weight_names(folder))

    def fetch_weights(self, folder: Path, on_progress: OnProgress | None) -> None:
        """Fetch the weights to the same folder, or leave it as it is without a listing.

        Args:
            folder: what ``fetch_settings`` returned.
            on_progress: called with the bytes that are there.

        Raises:
            ModelError: they are not on the hub, or the download breaks off.
        """
        if self.file_bytes is None:
            return
        names = self._weight_names(folder)
        if not names:
            listed = ", ".join(sorted(self.file_bytes)[:6])
            raise ModelError(
                f"model {self.name!r} has no safetensors weights, which alone are loaded; the hub lists "
                f"{listed}, ...; look for another revision or a converted copy"
            )
        self._fetch(names, on_progress)

    def _weight_names(self, folder: Path) -> tuple[str, ...]:
        if self.file_bytes is None or WEIGHTS_FILE in self.file_bytes:
            return (WEIGHTS_FILE,)
        index = folder / INDEX_FILE
        return names_in_index(index) if index.is_file() else ()

    def _fetch(self, names: Sequence[str], on_progress: OnProgress | None) -> Path:
        total_bytes = sum((self.file_bytes or {}).get(name, 0) for name in names)
        try:
            return Path(
                snapshot_download(
                    self.name,
                    revision=self.revision,
                    allow_patterns=list(names),
                    ignore_patterns=["*/*"],  # no subfolders
                    local_files_only=self.file_bytes is None,
                    endpoint=self.hub.endpoint,
                    cache_dir=self.hub.cache_folder,
                    tqdm_class=download_bar(on_progress, total_bytes),
                )
            )
        except LocalEntryNotFoundError as error:
            raise self._not_cached() from error
        except GatedRepoError as error:
            raise _gated(self.name) from error
        except Exception as error:  # the network raises many kinds
            raise ModelError(
                f"the download of model {self.name!r} broke off: {first_line(error)}; try again, what is "
                f"there already is kept"
            ) from error

    def _not_cached(self) -> ModelError:
        named = self.name if self.revision is None else f"{self.name}@{self.revision}"
        if self.unreachable is None:
            return ModelError(
                f"model {named!r} is not whole in the local hub cache, and the hub is not asked in offline "
                f"mode; load it once without it, or give a checkpoint folder ('hermes models' lists the "
                "cache)"
            )
        return ModelError(
            f"model {named!r} is not whole in the local hub cache, and the hub cannot be reached "
            f"({self.unreachable}); checkpoint folders and models of the cache work without it ('hermes "
            f"models' lists them)"
        )


def _gated(name: str) -> ModelError:
    return ModelError(
        f"model {name!r} is gated: accept its terms on its page on the hub, then log in with 'hf auth login'"
    )

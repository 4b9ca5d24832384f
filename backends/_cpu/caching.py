"""Compiled kernels on disk: one file for each version of a function, read only where nobody else could have put it.

Numba keeps an index of its files, in which processes that compile at once take each other's, and asks whether a
function's own file has changed. Here the name of a file identifies its content, and its head shows the sources it was
made from and that it is whole.
"""

import pickle
import warnings
from hashlib import sha256
from os.path import realpath
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, NullCache
from numba.core.serialize import dumps

from ksubset._engine import elementary
from ksubset.backends.trust import distrust

REMEDY = "each process compiles them anew, unless NUMBA_CACHE_DIR names a folder that you alone may write to"
_said: set[str] = set()


def cache_for(function: Any) -> Any:
    """Where the versions of a function are kept: nowhere, if there is no folder for them."""
    try:
        return _Cache(function)
    except (RuntimeError, OSError):
        warn_once(f"there is no folder for compiled kernels: {REMEDY}")
        return NullCache()


def warn_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def _sources() -> bytes:
    """A digest of all sources that kernels are compiled from."""
    core = Path(elementary.__file__).parent
    files = *sorted(Path(__file__).parent.rglob("*.py")), core / "elementary.py", core / "power_sums.py"
    digest = sha256(numba.__version__.encode())
    for file in files:
        digest.update(sha256(file.read_bytes()).digest())
    return digest.digest()


SOURCES = _sources()


class _Safe:
    """One of Numba's locators, which refuses folders that other users may write to."""

    def __init__(self, locator: Any) -> None:
        self.locator = locator

    def from_function(self, function: Any, file: str) -> Any:
        found = self.locator.from_function(function, file)
        if found is None or (reason := distrust(found.get_cache_path())) is None:
            return found
        warn_once(f"compiled kernels, which are code, are not kept in {found.get_cache_path()}: {reason}")
        return None


class _Kept(CompileResultCacheImpl):
    """How results are kept, and where."""

    _locator_classes = tuple(map(_Safe, CompileResultCacheImpl._locator_classes))


class _Files(IndexDataCacheFile):
    """A file for each key: 32 bytes that stand for the sources, 32 for what follows, and that."""

    def path(self, key: Any) -> Path:
        name, _, _ = self._index_name.rpartition(".")
        return Path(self._cache_path, f"{name}.{sha256(repr(key).encode()).hexdigest()[:16]}.nbc")

    def load(self, key: Any) -> Any:
        try:
            content = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        if sha256(content[64:]).digest() != content[32:64]:
            raise ValueError("it is damaged")
        if content[:32] != self._source_stamp:
            return None
        known, data = pickle.loads(content[64:])
        return data if known == key else None

    def save(self, key: Any, data: Any) -> None:
        content = dumps((key, data))
        with self._open_for_write(str(self.path(key))) as file:
            file.write(self._source_stamp + sha256(content).digest() + content)


class _Cache(FunctionCache):
    """Numba's cache of a function, whose failures cost time alone."""

    _impl_class = _Kept
    _cache_file: Any

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        stamp = sha256(SOURCES + repr(self._cache_file._source_stamp).encode()).digest()
        self._cache_file = _Files(realpath(self._cache_path), self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:  # without its tables, which take half a second, and are needed by what is compiled alone
            with self._guard_against_spurious_io_errors():
                return self._load_overload(sig, target_context)
        except Exception as error:
            file = self._cache_file.path(self._index_key(sig, target_context.codegen()))
            warn_once(f"the compiled kernel {file} cannot be read, and is compiled anew: {error}")

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_once(f"compiled kernels cannot be kept in {self._cache_path}, {error.strerror}: {REMEDY}")

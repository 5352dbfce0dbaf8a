"""What somebody looks for, as words: read from a line of text, written for each kind of database."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_CHARACTERS = 1000
_MAX_TERMS = 32
_PART = re.compile(r'(?P<unwanted>-?)(?:"(?P<quoted>[^"]*)"?|(?P<plain>[^\s"]+))')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Words that stand one after the other.

    Attributes:
        words: letters and digits alone.
        is_prefix: whether longer words that begin like the last one count, too.
        is_unwanted: whether what has them is left out.
    """

    words: tuple[str, ...]
    is_prefix: bool
    is_unwanted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchWords:
    """All that is looked for.

    Attributes:
        terms: each of them is to be found, or left out.
    """

    terms: tuple[Term, ...]

    @classmethod
    def read(cls, line: str) -> SearchWords:
        """Read a line as people write it.

        Raises:
            ValueError: it is too long, or has characters and no word that could be found.
        """
        if len(line) > _MAX_CHARACTERS:
            raise ValueError(f"a search has at most {_MAX_CHARACTERS} characters, got {len(line)}")
        terms = []
        for part in _PART.finditer(line):
            quoted = part["quoted"]
            words = tuple(_WORD.findall(quoted if quoted is not None else part["plain"]))
            if words:
                terms.append(Term(words=words, is_prefix=quoted is None, is_unwanted=bool(part["unwanted"])))
        if line.strip() and not any(not term.is_unwanted for term in terms):
            raise ValueError(
                f"there is no word to look for in {line[:80]!r}; give letters or digits, such as red car"
            )
        if len(terms) > _MAX_TERMS:
            raise ValueError(f"a search has at most {_MAX_TERMS} words, got {len(terms)}")
        return cls(terms=tuple(terms))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is looked for."""
        return not self.terms

    def for_sqlite(self) -> str:
        """Return it in the words of FTS5; each word is quoted, so that none of its operators is meant."""
        wanted = [_fts5(term) for term in self.terms if not term.is_unwanted]
        unwanted = [_fts5(term) for term in self.terms if term.is_unwanted]
        # NOT binds closest: what is wanted is one operand
        query = f"({' AND '.join(wanted)})"
        return " NOT ".join([query, *unwanted])


def _fts5(term: Term) -> str:
    return f'"{" ".join(term.words)}"' + "*" * term.is_prefix

"""Holds the fields of a request to their limits."""

from runstream_server.errors import FieldViolation, InvalidField


class FieldChecks:
    """Holds the fields of one request to their limits and notes each that breaks them."""

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []

    @property
    def violated(self) -> bool:
        """Whether any field was wrong so far."""
        return bool(self._violations)

    def fail(self, field: str, problem: str) -> None:
        """Notes that a field is wrong."""
        self._violations.append(FieldViolation(field, problem))

    def done(self) -> None:
        """Raises InvalidField if any field was wrong."""
        if self._violations:
            first, *more = self._violations
            raise InvalidField(first.field, first.problem, *more)

    def text(self, field: str, text: str, limit: int) -> str:
        """A text that may be empty, of up to so many characters."""
        if text:
            if len(text) > limit:
                self.fail(field, f"up to {limit} characters; got {len(text)}")
            self.storable(field, text)
        return text

    def filled(self, field: str, text: str, limit: int) -> str:
        """A text that may not be empty."""
        if not text:
            self.fail(field, f"required: 1 to {limit} characters")
        return self.text(field, text, limit)

    def storable(self, field: str, text: str) -> str:
        """A text that Postgres can store."""
        if "\0" in text:
            self.fail(field, "text cannot contain the character NUL; remove it")
        return text

"""What a user can mend -> an error whose message names what, where, got, expected."""


class StageError(Exception):
    """Something that a user can mend: the message names what, where, got, expected."""


class DeclarationError(ValueError):
    """A declaration that cannot be used; the message has one line a fault."""

"""Says why an operator's action can't be done."""


class Refusal(Exception):
    """The action can't be done; the text says why, and `status` is HTTP's."""

    def __init__(self, reason: str, status: int = 404) -> None:
        super().__init__(reason)
        self.status = status

"""Where a reader stands in the events topic, as a text that proves itself.

```
position = base64url( offset of partition 0, of 1, … as varints | check, 8 bytes )
check    = BLAKE2b over the offsets, keyed by the topic's id and by the rights that the position was given for
```

So a position of another topic, of a topic that was made anew under its name, of other rights, or with anything changed,
is told from ours and answered with a new snapshot. It holds no secret: whoever takes the trouble to make one up only
chooses where he reads on himself, within what his token allows.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b

CHECK_BYTES = 8
MORE = 0x80  # the bit of a byte that another one follows
LONGEST = 8192  # characters: a thousand partitions and more


class Positions:
    """Writes and reads the positions of one log."""

    def __init__(self, log_id: bytes, partitions: int) -> None:
        """`log_id`: what tells this topic from all others, up to 56 bytes."""
        self._log_id = log_id
        self._partitions = partitions
        self._last: tuple[Sequence[int], bytes, str] = ((), b"", "")

    def write(self, offsets: Sequence[int], rights: bytes) -> str:
        """The text for the offsets that come next, one a partition."""
        if self._last[:2] != (offsets, rights):  # thousands of readers stand at the same
            body = b"".join(map(_varint, offsets))
            text = urlsafe_b64encode(body + self._check(body, rights)).decode().rstrip("=")
            self._last = tuple(offsets), rights, text
        return self._last[2]

    def read(self, text: str, rights: bytes) -> tuple[int, ...] | None:
        """The offsets of a text; None where it is not one of this log, for these rights."""
        if len(text) > LONGEST or not text.isascii():
            return None
        try:
            data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError:
            return None
        body, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
        if check != self._check(body, rights):
            return None
        offsets = _varints(body)
        is_whole = len(offsets) == self._partitions and self.write(offsets, rights) == text
        return offsets if is_whole else None

    def _check(self, body: bytes, rights: bytes) -> bytes:
        return blake2b(body, digest_size=CHECK_BYTES, key=(self._log_id + rights)[-64:]).digest()


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number >= MORE:
        parts.append(number & MORE - 1 | MORE)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _varints(data: bytes) -> tuple[int, ...]:
    numbers: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & MORE - 1) << shift
        shift += 7
        if byte < MORE:
            numbers.append(number)
            number = shift = 0
    return tuple(numbers)

"""What is written together is sent together, in order."""

import asyncio

from litebert.serve.protocol import Together


class Transport:
    """Notes what it is told to send."""

    def __init__(self):
        self.sent, self.closed = [], False

    def write(self, data):
        assert not self.closed
        self.sent.append(bytes(data))

    def close(self):
        self.closed = True

    def get_write_buffer_size(self):
        return sum(map(len, self.sent))

    def is_closing(self):
        return self.closed


def written(*steps, close=False):
    """Return what is sent for what some steps of the event loop write."""

    async def go():
        transport = Transport()
        together = Together(transport, asyncio.get_running_loop().call_soon)
        for pieces in steps:
            for number, piece in enumerate(pieces):
                together.write(piece)
                size = together.get_write_buffer_size()
                assert size == sum(len(p) for s in steps[: steps.index(pieces)] for p in s) + sum(
                    map(len, pieces[: number + 1])
                )
            if close:
                together.close()
            await asyncio.sleep(0)
        assert together.is_closing() == close
        return transport.sent

    return asyncio.run(go())


def test_headers_and_body_are_one_sending():
    assert written([b"headers", b"body"], [b"next"]) == [b"headersbody", b"next"]


def test_what_is_large_is_sent_without_a_copy_and_in_order():
    large, half = b"x" * 100_000, b"y" * 40_000
    assert written([b"headers", large, b"end"]) == [b"headers", large, b"end"]
    assert written([half, half, b"end"]) == [half + half, b"end"]


def test_closing_sends_what_is_left():
    assert written([b"headers", b"body"], close=True) == [b"headersbody"]

"""A parser of requests that leaves an offer of another protocol aside, as a server may (RFC 9110, 7.8).

Java's HttpClient sends `Upgrade: h2c` with each request that is not encrypted. httptools would take all that follows
the head for the other protocol: the request has no body, and its body is read as the next request.
"""

import httptools


class Parser(httptools.HttpRequestParser):
    """Httptools' parser. Between the head of such a request and what follows, it parses `head_again`."""

    def __init__(self, protocol: object) -> None:
        """Call `protocol` as httptools does."""
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        self.head_again = b""  # the head without the offer, if there was one

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # uvicorn has no other kind
        """Parse what has come. Raises what httptools does."""
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self.head_again:  # CONNECT
                    raise
                data, self.head_again = self.head_again + data[upgrade.args[0] :], b""
            else:
                return

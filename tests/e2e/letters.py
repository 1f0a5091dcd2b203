"""letters.py - letters that tests send, and what must come out of them."""

LETTER = (
    b"From: News <news@sender.test>\r\n"
    b"To: {{to}}\r\n"
    b"Subject: Number {{number}} for {{name}}\r\n"
    b"Date: Fri, 21 Aug 2026 10:00:00 +0000\r\n"
    b"Message-ID: <{{id}}@sender.test>\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=us-ascii\r\n"
    b"\r\n"
    b"Dear {{name}},\r\n"
    b".\r\n"
    b"..a line of dots\r\n"
    b"trailing blanks  \r\n"
    b"\r\n"
    b"{{name|nobody}}\r\n"
    + b"filler " * 12 + b"\r\n"
    b"The end.\r\n"
)


def expected(ident, to, name, number):
    """LETTER as it arrives at a recipient: nothing but the placeholders has changed."""
    values = {b"{{to}}": to, b"{{number}}": number, b"{{name}}": name, b"{{id}}": ident,
              b"{{name|nobody}}": name}
    text = LETTER
    for placeholder, value in values.items():
        text = text.replace(placeholder, str(value).encode())
    return text


# Without anything to merge, and with a Date and Message-ID: not a byte may change.
PLAIN = (
    b"From: a@sender.test\r\n"
    b"To: list@sender.test\r\n"
    b"Subject: plain\r\n"
    b"Date: Fri, 21 Aug 2026 10:00:00 +0000\r\n"
    b"Message-ID: <plain@sender.test>\r\n"
    b"\r\n"
    b"One line.\r\n"
    b".and one that starts with a dot\r\n"
)

"""letters.py - letters that tests send, and what must come out of them."""

import email
import email.policy

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
    """What LETTER says at a recipient: (header fields, body), as meaning() has it."""
    values = {b"{{to}}": to, b"{{number}}": number, b"{{name}}": name, b"{{id}}": f"{ident}.1",
              b"{{name|nobody}}": name}
    text = LETTER
    for placeholder, value in values.items():
        text = text.replace(placeholder, str(value).encode())
    return meaning(text)


def meaning(letter):
    """Header fields as (name, text) and the body's bytes, with encodings undone.

    A text with placeholders is sent quoted-printable, so that any value fits; line ends may
    have become LF on the way through a mailbox.
    """
    parsed = email.message_from_bytes(letter, policy=email.policy.SMTP)
    # The form of the text, and what receivers put in front.
    skip = {"content-type", "content-transfer-encoding", "return-path", "x-envelope-to", "x-sink",
            "x-original-to", "delivered-to", "received"}
    fields = [(name, str(value)) for name, value in parsed.items() if name.lower() not in skip]
    return fields, parsed.get_payload(decode=True).replace(b"\r\n", b"\n")


def envelope_to(letter):
    """The recipient that volley-sink noted in a stored letter."""
    return email.message_from_bytes(letter)["X-Envelope-To"].strip("<>")


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

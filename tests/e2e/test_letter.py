"""test_letter.py - finished letters, read by Python's email package.

Letters of many shapes are made with the email package, finished by `volley send --preview`, and
parsed again: every reader must see the text that was meant.  What was meant is worked out here
by a few lines that know nothing of encodings.
"""

import csv
import email
import email.charset
import email.policy
import email.utils
import html
import io
import random
import re
from email.header import decode_header, make_header
from email.message import EmailMessage

from conftest import TOP

LETTERS = 240
NAMES = ["name", "city", "note", "vip"]

WORDS = ["a", "word", "Zoë", "Łukasz", "Привет", "日本語", "😀", "x=y", "100 %", "50 €", ".", "..",
         "--", "<b>", "&", '"quoted"', "O'Neil", "comma,", "semi;", "?=", "=?utf-8?Q?x?=", "{x}",
         "From", "tab\there",
         "averyveryverylongwordthatgoesonandonandonandonandonandonandonandonandonandonandonandon"]
VALUES = ["", "Anna", "Jörg Müller", "Smith, Anna", 'Bob "the" B', "Дарья Иванова", "田中 さくら",
          "a\r\nb\n.\nc", "<script>&amp;", "  blanks  ", "=?utf-8?Q?x?=", "x" * 300, "ä" * 200,
          "\t", "--boundary--", "O'Brien\\"]

TAG = re.compile(r"\{\{([#^/]?)([a-z]+)(\|[^}]*)?\}\}|\{\{\{([a-z]+)\}\}\}")


def text_of(rng, lines):
    """A template of so many lines, and no tag alone on its line."""
    def piece():
        kind = rng.randrange(10)
        name = rng.choice(NAMES)
        if kind < 6:
            return " ".join(rng.choices(WORDS, k=rng.randrange(1, 12)))
        if kind < 8:
            return "{{%s}}" % name
        if kind == 8:
            return "{{%s|dear reader}}" % name
        sign = rng.choice("#^")
        return "{{%s%s}}%s {{%s}}{{/%s}}" % (sign, name, rng.choice(WORDS), rng.choice(NAMES), name)
    return "".join("> " + " ".join(piece() for _ in range(rng.randrange(1, 5))) + "\n"
                   for _ in range(lines))


def shows(template, values, escape):
    """What a reader sees; sections do not nest here."""
    out, skip, at = [], None, 0
    for tag in TAG.finditer(template):
        literal = template[at:tag.start()]
        at = tag.end()
        out.append("" if skip else literal)
        sign, name, default, raw = tag.groups()
        value = values.get(name or raw, "")
        if sign == "/":
            skip = None
        elif sign:
            there = value not in ("", "0", "false")
            skip = name if there != (sign == "#") else None
        elif not skip:
            shown = value or (default or "|")[1:]
            out.append(shown if raw else escape(shown))
    return "".join(out + [template[at:]])


def escape_html(text):
    return html.escape(text).replace("&#x27;", "&#39;")


def plain(text):
    return text


def blanks(text):
    """Header text as far as it is kept: runs of blanks are one."""
    return " ".join(text.split())


def lines(text):
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def letter_of(rng):
    """The letter, and its templates: subject, display name, text, HTML or None."""
    # An encoded word in a header field as written is one; in values and text it is not.
    subject = "S " + blanks(text_of(rng, 1).replace("=?utf-8?Q?x?=", "x"))
    text, page = text_of(rng, rng.randrange(1, 30)), None
    cte = ["7bit", "8bit", "quoted-printable", "base64"]
    msg = EmailMessage(policy=email.policy.SMTP.clone(max_line_length=78, cte_type="8bit"))
    msg["From"] = rng.choice(["News <news@sender.test>", "Café Größe <a.b@sender.test>"])
    msg["Date"] = "Fri, 21 Aug 2026 10:00:00 +0000"
    if rng.randrange(2):
        msg["Message-ID"] = "<1@sender.test>"
    msg.set_content(text, cte=rng.choice(cte[1:]))
    if rng.randrange(2):
        page = "<html><body>\n" + text_of(rng, rng.randrange(1, 60)) + "</body></html>\n"
        msg.add_alternative(page, subtype="html", cte=rng.choice(cte[1:]))
    if rng.randrange(3) == 0:
        msg.add_attachment(rng.randbytes(rng.randrange(2000)), maintype="application",
                           subtype="octet-stream", filename="a b.bin")
    data = msg.as_bytes()
    # These as a person writes them, or as a mail program encodes them.
    subject_field = subject.encode()
    if rng.randrange(2):
        encoded = email.charset.Charset("utf-8").header_encode_lines(subject, iter([60] * 500))
        subject_field = b"\r\n ".join(part.encode() for part in encoded if part)
    extra = (b"To: \"{{name}}\" <{{to}}>\r\n" if rng.randrange(2) else b"To: {{name}} <{{to}}>\r\n")
    data = b"Subject: " + subject_field + b"\r\n" + extra + data
    if rng.randrange(2):
        data = data.replace(b"\r\n", b"\n")
    return data, subject, text, page


def rows_of(rng, count):
    return [{"to": f"u{i}@d.test", **{n: rng.choice(VALUES) for n in NAMES}} for i in range(count)]


def preview(box, data, rows):
    (box.path / "letter.eml").write_bytes(data)
    out = io.StringIO()
    writer = csv.DictWriter(out, ["to", *NAMES], quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    (box.path / "list.csv").write_text(out.getvalue(), newline="")
    done = box.run("volley", "send", "--to", "list.csv", "--message", "letter.eml",
                   "--preview", len(rows) + 1)
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^-------- list\.csv:\d+ to \S+\n", done.stdout, flags=re.M)[1:]
    return [part[:-1] if i + 1 < len(parts) else part for i, part in enumerate(parts)]


def check(copy, row, subject, text, page):
    raw = copy.encode()
    head = raw.split(b"\n\n", 1)[0]
    assert head.isascii()
    assert all(len(line) <= 998 for line in raw.split(b"\n"))
    msg = email.message_from_bytes(raw, policy=email.policy.default)
    assert blanks(msg["Subject"]) == blanks(shows(subject, row, plain))
    # The newer parser puts blanks between encoded words of a display name; the older is right.
    old = email.message_from_bytes(raw)
    (name, addr), = email.utils.getaddresses([re.sub(r"\n(?=[ \t])", "", old["To"])])
    assert addr == row["to"]
    assert blanks(str(make_header(decode_header(name)))) == blanks(row["name"])
    assert msg["Message-ID"] and msg["Date"] and msg["MIME-Version"] == "1.0"
    seen = msg.get_body(("plain",)).get_content()
    assert lines(seen) == lines(shows(text, row, plain))
    if page is not None:
        seen = msg.get_body(("html",)).get_content()
        assert lines(seen) == lines(shows(page, row, escape_html))
    return msg


def test_letters_are_read_as_meant(box):
    for seed in range(LETTERS):
        rng = random.Random(seed)
        data, subject, text, page = letter_of(rng)
        rows = rows_of(rng, 3)
        copies = preview(box, data, rows)
        assert len(copies) == len(rows), seed
        for copy, row in zip(copies, rows):
            try:
                check(copy, row, subject, text, page)
            except Exception:
                print(f"seed {seed}\n{row}\n---- letter\n{data.decode()}\n---- copy\n{copy}")
                raise


def test_attachments_arrive_whole(box):
    rng = random.Random(7)
    msg = EmailMessage(policy=email.policy.SMTP)
    msg["From"] = "a@b.test"
    msg.set_content("Dear {{name}}\n")
    blobs = [rng.randbytes(n) for n in (0, 1, 2, 3, 57, 58, 5000)]
    for i, blob in enumerate(blobs):
        msg.add_attachment(blob, maintype="application", subtype="octet-stream",
                           filename=f"{i}.bin")
    inner = EmailMessage(policy=email.policy.SMTP)
    inner["Subject"] = "{{not merged}}"
    inner.set_content("inside {{name}}\n")
    msg.add_attachment(inner)
    copy, = preview(box, msg.as_bytes(), rows_of(rng, 1))[:1]
    seen = email.message_from_bytes(copy.encode(), policy=email.policy.default)
    attached = list(seen.iter_attachments())
    assert [a.get_payload(decode=True) for a in attached[:-1]] == blobs
    assert attached[-1].get_content()["Subject"] == "{{not merged}}"
    assert attached[-1].get_content().get_content() == "inside {{name}}\n"


def test_the_demo_letter(box):
    """The letter of `volley demo`: no warning, and both sides are right."""
    (box.path / "letter.eml").write_bytes((TOP / "conf/demo/letter.eml").read_bytes())
    (box.path / "list.csv").write_text("email,name,city\nz@d.test,Zoë <Müller>,Köln\n")
    done = box.run("volley", "send", "--to", "list.csv", "--message", "letter.eml",
                   "--preview", 1, "--strict", "--campaign", "spring")
    assert done.returncode == 0 and done.stderr == ""
    msg = email.message_from_bytes(done.stdout.encode(), policy=email.policy.default)
    assert msg["Subject"].startswith("Zoë <Müller>, der Frühling ist im Glas")
    assert msg["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "Dear Zoë <Müller>," in msg.get_body(("plain",)).get_content()
    assert "Dear Zoë &lt;Müller&gt;," in msg.get_body(("html",)).get_content()
    assert "You are in <b>Köln</b>" in msg.get_body(("html",)).get_content()
    assert 8000 < len(done.stdout.encode()) < 13000

"""What the properties of this folder are tried on."""

from __future__ import annotations

from hypothesis import strategies as st

from sendgate.entry import EVERYWHERE, Found, Reason, Scope

_PIECES = [
    "<", ">", "@", "@", ":", ",", ";", '"', "\\", ".", ".", "[", "]", "(", ")", "+", "-", "_", "%", "!", " ", "=",
    "a", "B", "user", "User", "example", "com", "xn--", "bcher-kva", "gmail.com", "googlemail.com", "proton.me",
    "192.0.2.1", "IPv6:", "2001:db8::1", "::1", "sha256:", "md5:", "key:", "0123456789abcdef" * 2, "subtree:",
    "é", "e\u0301", "É", "ß", "ü", "σ", "ς", "Σ", "İ", "ı", "\u212a", "用户", "💩", "\u200d", "\u037e",
    "。", "．", "｡", "＠", "ｅ", "\u3000", "\xa0", "\u2028", "\x85", "\0", "\t", "\r\n", "\x7f", "\udcff",
    "x" * 64, "l" * 300,
]  # fmt: skip

texts = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
"""Texts, most of them nearly addresses or subjects."""

octets = st.one_of(st.binary(max_size=40), texts.map(lambda text: text.encode(errors="surrogateescape")))

names = st.sampled_from(["default", "partners", "a", "b"])
scopes = st.one_of(
    st.just(EVERYWHERE), st.builds(Scope, st.sampled_from(["campaign", "stream"]), st.sampled_from(["a", "b"]))
)
times = st.one_of(st.integers(0, 30), st.integers(0, 2**32 - 1))
reasons = st.sampled_from(Reason)

_LETTERS = "aBcxYz019éÈüσςΣжЖ用"
_LOCAL = st.text(_LETTERS + "+-_", min_size=1, max_size=6)
_LABEL = st.text("abcXYZ019üéßςσж用", min_size=1, max_size=6)

locals_ = st.lists(_LOCAL, min_size=1, max_size=3).map(".".join)
"""Local parts that need no quotes."""
domains = st.one_of(
    st.lists(_LABEL, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "example"])),
    st.sampled_from(["gmail.com", "GoogleMail.com", "proton.me", "[192.0.2.1]", "[IPv6:2001:DB8::1]"]),
)
_WORDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=8)
quoted = _WORDS.map(lambda word: '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"')
"""Local parts of any characters, in quotes."""
addresses = st.builds("{}@{}".format, locals_ | quoted, domains)
subjects = st.one_of(
    addresses,
    domains.map("@{}".format),
    domains.map("@.{}".format),
    (locals_ | quoted).map("{}@".format),
    st.binary(min_size=16, max_size=16).map(lambda digest: f"md5:{digest.hex()}"),
    st.binary(min_size=32, max_size=32).map(lambda digest: f"sha256:{digest.hex()}"),
    st.binary(min_size=16, max_size=16).map(lambda key: f"key:local:{key.hex()}"),
)

found_entries = st.builds(Found, reasons, scopes, names, times, st.none() | times, st.just("00000000"))

"""Texts from outside on a page: whole, on one line, and not what they are not."""

import pytest

from catlake.text.display import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("una línea\n y\totra", "una línea y otra"),
        # The last two are newer than the Unicode of Python 3.11.
        ("👩‍💻 🩷 🫩", "👩‍💻 🩷 🫩"),
        ("a\x00b\x1b[1m\ud800\ue000", "a�b�[1m��"),
        ("\ufffe \ufdd0 \U0001ffff", "� � �"),
        # A page isolates each name, so that an override ends with it.
        ("factura\u202efdp", "factura\u202efdp"),
        ("مرحبا", "مرحبا"),
    ],
)
def test_a_text_shows_all_its_letters_and_no_control_character(text: str, shown: str) -> None:
    assert visible(text) == shown
